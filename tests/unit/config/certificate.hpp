#pragma once

#include <string>

namespace config_test
{

struct certificate
{
    std::string cert;  ///< PEM, self-signed
    std::string key;   ///< PEM
};

/// One with a key of its own at every call.
certificate make_certificate();

}  // namespace config_test
