#pragma once

#include <boost/json/object.hpp>

#include "app/command.hpp"

namespace dtbridge::app
{

int run(const arguments& args);
int check(const arguments& args);
int filter(const arguments& args);
int format_breaches(const arguments& args);
int sign(const arguments& args);
int get(const arguments& args);
int backfill(const arguments& args);
int profiles(const arguments& args);
int forget(const arguments& args);
int status(const arguments& args);
int explain(const arguments& args);
int replay(const arguments& args);
int export_breaches(const arguments& args);
int tune_policy(const arguments& args);
int models(const arguments& args);
int recover(const arguments& args);
int archive_command(const arguments& args);
int version(const arguments& args);
int test(const arguments& args);
int setup(const arguments& args);

/// Prints what send_test_event() found; answers the exit status.
int print_test(const boost::json::object& sent);

}  // namespace dtbridge::app
