#pragma once

#include <dtbridge/web/server.hpp>

namespace dtbridge::web
{

/// Registers the status page: "/" and the files beside it, compiled in from src/web/page/. They hold no data;
/// the page asks the API for it, with the token that is typed into it where one is needed.
void serve_page(server& s);

}  // namespace dtbridge::web
