/// Any element to every format: one line, valid in its format, within max_message, whatever is in it.

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>

#include <boost/json/parse.hpp>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/format/formatter.hpp>

namespace
{

using namespace dtbridge;

[[noreturn]] void broken(const char* what, const std::string& message)
{
    std::cerr << what << ": " << text::printable(message, 20'000) << '\n';
    std::abort();
}

format::formatter make(format::kind kind,
                       format::header_kind header,
                       std::size_t max_message,
                       bool api = false)
{
    format::options o;
    o.format = kind;
    o.header = header;
    o.max_message = max_message;
    o.annotate = true;
    o.shape = api ? format::json_shape::api : format::json_shape::native;
    o.structured_data = header == format::header_kind::rfc5424;
    auto map = format::load_field_map(kind, "", "built-in");
    return {o, std::move(map.value), "bridge"};
}

/// The body after an optional header, which never holds '{' or "CEF:" or "LEEF:" itself (S3, R2).
std::string body_of(const std::string& message, const char* start)
{
    const auto at = message.find(start);
    if (at == std::string::npos)
        broken("no body", message);
    return message.substr(at);
}

void check_cef(const std::string& body, const std::string& message)
{
    // C1: seven unescaped pipes; the extension follows.
    std::size_t pipes = 0;
    for (std::size_t i = 0; i < body.size() && pipes < 7; ++i)
    {
        if (body[i] == '\\')
            ++i;
        else if (body[i] == '|')
            ++pipes;
    }
    if (pipes != 7)
        broken("CEF without seven pipes", message);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static format::formatter formatters[] = {
        make(format::kind::json, format::header_kind::rfc5424, 0),
        make(format::kind::json, format::header_kind::rfc3164, 900, true),
        make(format::kind::json, format::header_kind::none, 600),
        make(format::kind::cef, format::header_kind::rfc3164, 0),
        make(format::kind::cef, format::header_kind::rfc5424, 400),
        make(format::kind::leef, format::header_kind::rfc3164, 0),
        make(format::kind::leef, format::header_kind::none, 300),
    };
    static const format::master_info master{"acme", "https://acme.example", "", {{"tenant", "acme"}}};
    breach b;
    if (!b.read(std::string_view(reinterpret_cast<const char*>(data), size)))
        return 0;
    rules::decision said;
    said.reason = "fuzz";
    for (auto& f : formatters)
    {
        std::string message;
        const auto verdict = f.message(b, master, said, message);
        if (verdict == format::verdict::undeliverable)
        {
            if (!message.empty())
                broken("undeliverable, yet something came out", message);
            continue;
        }
        const auto limit = f.settings().max_message;
        if (limit != 0 && message.size() > limit)
            broken("over max_message", message);
        if (message.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
            broken("a raw line break or NUL", message);
        if (!text::is_valid_utf8(message))
            broken("ill-formed UTF-8", message);
        switch (f.settings().format)
        {
            case format::kind::json: {
                boost::system::error_code ec;
                boost::json::parse_options options;
                options.max_depth = 300;
                const auto body = body_of(message, "{");
                boost::json::parse(body, ec, {}, options);
                if (ec)
                    broken("no JSON", message);
                break;
            }
            case format::kind::cef:
                check_cef(body_of(message, "CEF:0|"), message);
                break;
            case format::kind::leef:
                body_of(message, "LEEF:2.0|");
                break;
        }
    }
    return 0;
}
