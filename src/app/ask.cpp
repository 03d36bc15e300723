#include "app/ask.hpp"

#include <string>

#include <dtbridge/config/configuration.hpp>

#include "app/command.hpp"
#include "app/control.hpp"
#include "app/load_config.hpp"
#include "app/service_request.hpp"

namespace dtbridge::app
{

std::optional<boost::json::object> ask(const parsed& said,
                                       const boost::json::object& request,
                                       const std::function<void(const boost::json::object&)>& on_progress)
{
    // Only state_dir is of interest here: whoever may open the socket need not be able to read the token
    // files.
    const auto loaded = config::load(said.config(), process_environment());
    auto reply = ask_service(loaded.value.service.state_dir, request, on_progress);
    if (!reply || flag_member(*reply, "ok"))
        return reply;
    auto words = text_member(*reply, "error");
    if (words.empty())
        words = "the running service refused";
    if (reply->contains("unknown"))
        throw usage_error(words);
    throw action_error(words);
}

}  // namespace dtbridge::app
