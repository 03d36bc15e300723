#pragma once

/// What the parameters of /modelbreaches do to one breach (darktrace.md 2.3). Works on the text of the
/// element, so that what a parameter does not name stays byte for byte.

#include <string>
#include <string_view>
#include <vector>

#include "query.hpp"

namespace simulator
{

struct shape
{
    bool minimal = false;
    bool device_at_top = false;
    bool historic_model_only = false;
    bool breach_url = false;
    bool group_device = false;
    std::vector<std::string> response_data;
    std::string fqdn;  ///< "": no breachUrl can be made

    static shape of(const request_query& query, const std::string& fqdn);
};

/// The element as the request wants it. What is no object comes back as it is.
std::string shaped(std::string_view element, const shape& wanted);

}  // namespace simulator
