#include <iostream>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/object.hpp>

#include <dtbridge/core/time.hpp>
#include <dtbridge/poll/target.hpp>

#include "app/ask.hpp"
#include "app/commands.hpp"
#include "app/host.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"
#include "app/service_request.hpp"
#include "app/signed_request.hpp"

namespace dtbridge::app
{

namespace
{

std::string target_of(const parsed& said)
{
    if (said.positional().empty())
        throw usage_error("the target is missing, as in '/modelbreaches?pbid=123'");
    auto target = check_target(said.positional().front());
    if (!target)
        throw usage_error(target.error().detail);
    return std::move(*target);
}

int print_answer(unsigned status, const std::string& content_type, const std::string& body)
{
    std::cerr << "HTTP status " << status << ", " << (content_type.empty() ? "no content type" : content_type)
              << '\n';
    std::cout << body;
    if (!body.empty() && body.back() != '\n')
        std::cout << '\n';
    std::cout.flush();
    return status == 200 && std::cout ? exit_done : exit_not_right;
}

}  // namespace

int sign(const arguments& args)
{
    const auto said = parse(args,
                            "sign",
                            {{"master", "M", "whose tokens and URL", true},
                             {"post", "BODY", "a POST with this body, form or JSON"},
                             {"date", "TEXT", "exactly this DTAPI-Date instead of now"}},
                            1);
    if (!said)
        return exit_done;
    const auto target = target_of(*said);
    if (said->has("post") && said->get("post").empty())
        throw usage_error("--post needs a body");
    ignore_broken_pipes();
    boost::json::object request;
    request["command"] = "sign";
    request["master"] = said->get("master");
    request["target"] = target;
    request["post"] = said->get("post");
    request["date"] = said->get("date");
    if (const auto reply = ask(*said, std::move(request)))
    {
        std::cout << text_member(*reply, "output") << '\n';
        return exit_done;
    }
    const auto c = load_config(said->config(), true);
    const auto& m = find_master(c, said->get("master"));
    become_owner(c.service.state_dir);
    const auto date = said->has("date") ? said->get("date") : poll::format_date(m.date, now_ms());
    std::cout << curl_line(m, target, said->get("post"), date) << '\n';
    return exit_done;
}

int get(const arguments& args)
{
    const auto said = parse(args, "get", {{"master", "M", "which master to ask", true}}, 1);
    if (!said)
        return exit_done;
    const auto target = target_of(*said);
    ignore_broken_pipes();
    boost::json::object request;
    request["command"] = "get";
    request["master"] = said->get("master");
    request["target"] = target;
    if (const auto reply = ask(*said, std::move(request)))
    {
        const auto* status = reply->if_contains("status");
        return print_answer(
            status != nullptr && status->is_int64() ? static_cast<unsigned>(status->get_int64()) : 0,
            text_member(*reply, "content_type"),
            text_member(*reply, "output"));
    }
    const auto c = load_config(said->config(), true);
    const auto m = find_master(c, said->get("master"));
    become_owner(c.service.state_dir);
    asio::io_context io(1);
    outcome<master_answer> answer = fail(errc::timed_out, "no answer");
    std::exception_ptr error;
    asio::co_spawn(io, signed_get(m, target, now_ms()), [&](std::exception_ptr e, outcome<master_answer> a) {
        error = e;
        if (!e)
            answer = std::move(a);
    });
    io.run();
    if (error)
        std::rethrow_exception(error);
    if (!answer)
        throw action_error(m.name + ": " + answer.error().detail);
    return print_answer(answer->status, answer->content_type, answer->body);
}

}  // namespace dtbridge::app
