#include "app/version.hpp"

namespace dtbridge::app
{

const char* const program_version = DTBRIDGE_VERSION;
const char* const program_agent = "dtbridge/" DTBRIDGE_VERSION;

}  // namespace dtbridge::app
