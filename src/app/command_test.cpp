#include <iostream>

#include <boost/json/serialize.hpp>

#include "app/ask.hpp"
#include "app/commands.hpp"
#include "app/host.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"
#include "app/run_alone.hpp"
#include "app/service_request.hpp"
#include "app/test_event.hpp"

namespace dtbridge::app
{

namespace
{

boost::json::object test_by_anyone(const parsed& said)
{
    boost::json::object request;
    request["command"] = "test";
    request["destination"] = said.get("destination");
    if (auto reply = ask(said, request))
    {
        if (auto* sent = reply->if_contains("test"); sent != nullptr && sent->is_object())
            return std::move(sent->as_object());
        throw action_error("the running service did not say what it sent");
    }
    const auto c = load_config(said.config(), true);
    const auto& d = find_destination(c, said.get("destination"));
    become_owner(c.service.state_dir);
    asio::io_context io(1);
    return run_alone(io, send_test_event(d));
}

}  // namespace

int print_test(const boost::json::object& sent)
{
    const auto bytes = text_member(sent, "bytes");
    const auto to = text_member(sent, "to");
    if (!bytes.empty())
        std::cout << "sent to " << text_member(sent, "destination") << ", " << to << ", "
                  << text_member(sent, "framing") << ", " << bytes.size() << " bytes:\n"
                  << escaped_bytes(bytes) << '\n';
    if (flag_member(sent, "ok"))
        std::cout << text_member(sent, "verdict") << " (" << number_member(sent, "confirmed_ms").value_or(0)
                  << " ms)\nsearch the SIEM for: " << text_member(sent, "marker") << '\n';
    else
        std::cout << "FAILED: " << text_member(sent, "problem") << '\n';
    std::cout.flush();
    return flag_member(sent, "ok") && std::cout ? exit_done : exit_not_right;
}

int test(const arguments& args)
{
    const auto said = parse(args,
                            "test",
                            {{"destination", "D", "which destination", true},
                             {"json", "", "prints one JSON object, with the bytes as they are"}});
    if (!said)
        return exit_done;
    ignore_broken_pipes();
    const auto sent = test_by_anyone(*said);
    if (!said->has("json"))
        return print_test(sent);
    std::cout << boost::json::serialize(sent) << std::endl;
    return flag_member(sent, "ok") && std::cout ? exit_done : exit_not_right;
}

}  // namespace dtbridge::app
