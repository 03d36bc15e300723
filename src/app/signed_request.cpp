#include "app/signed_request.hpp"

#include <dtbridge/poll/exchange.hpp>
#include <dtbridge/poll/target.hpp>

#include "app/version.hpp"

namespace dtbridge::app
{

namespace
{

/// For a POSIX shell: in single quotes, those inside written '\''.
std::string shell_quoted(std::string_view s)
{
    std::string out = "'";
    for (const char c : s)
    {
        if (c == '\'')
            out += "'\\''";
        else
            out += c;
    }
    return out + "'";
}

class collecting_sink : public net::body_sink
{
public:
    void head(const net::http_response&) override { text.clear(); }
    awaitable<outcome<bool>> body(std::string_view piece) override
    {
        text.append(piece);
        co_return true;
    }
    std::string text;
};

}  // namespace

outcome<std::string> check_target(std::string_view text)
{
    if (text.empty() || text.front() != '/')
        return fail(errc::malformed, "the target begins with '/', as in '/modelbreaches?pbid=123'");
    if (text.size() > 16'384)
        return fail(errc::over_limit, "the target is longer than 16 KiB");
    for (const char c : text)
    {
        if (c <= ' ' || c > '~' || c == '#')
            return fail(
                errc::malformed,
                "the target holds a blank, a '#' or a character outside ASCII; write it as %XX (%20, %23)");
    }
    return std::string(text);
}

std::string curl_line(const poll::master_options& m,
                      std::string_view target,
                      std::string_view body,
                      const std::string& date)
{
    const auto text = body.empty() ? std::string(target) : poll::post_text(target, body);
    const auto signature = poll::sign(m.private_token, text, m.public_token.reveal(), date);
    std::string line = "curl -sS";
    if (!m.tls.ca_file.empty())
        line += " --cacert " + shell_quoted(m.tls.ca_file);
    else if (!m.tls.verify || !m.tls.fingerprint_sha256.empty())
        line += " -k";  // curl can pin keys only, not the certificate's hash that the configuration has
    if (m.proxy)
        line += " -x " + shell_quoted("http://" + (m.proxy->user.empty() ? "" : m.proxy->user + "@") +
                                      m.proxy->address.text());
    line += " -H " + shell_quoted("DTAPI-Token: " + std::string(m.public_token.reveal()));
    line += " -H " + shell_quoted("DTAPI-Date: " + date);
    line += " -H " + shell_quoted("DTAPI-Signature: " + signature);
    if (!body.empty())
    {
        const bool json = body.front() == '{' || body.front() == '[';
        line += std::string(" -H ") + shell_quoted(json ? "Content-Type: application/json"
                                                        : "Content-Type: application/x-www-form-urlencoded");
        line += " --data-binary " + shell_quoted(body);
    }
    return line + " " + shell_quoted(m.url + std::string(target));
}

awaitable<outcome<master_answer>> signed_get(poll::master_options m,
                                             std::string target,
                                             std::int64_t master_ms)
{
    auto wire = poll::make_exchange(m, program_agent);
    if (!wire)
        co_return wire.error();
    net::http_request request;
    request.target = target;
    request.headers = poll::signed_headers(m, target, master_ms);
    collecting_sink sink;
    const net::http_limits bounds;
    const auto limit = std::chrono::duration_cast<net::duration>(m.timeout);
    auto response = co_await (*wire)->get(std::move(request), sink, bounds, limit);
    (*wire)->close();
    if (!response)
        co_return response.error();
    master_answer answer;
    answer.status = response->status;
    answer.content_type = response->content_type;
    answer.body = std::move(sink.text);
    co_return answer;
}

}  // namespace dtbridge::app
