#pragma once

#include "app/command.hpp"

namespace dtbridge::app
{

int run(const arguments& args);
int check(const arguments& args);
int filter(const arguments& args);
int format_breaches(const arguments& args);
int sign(const arguments& args);
int get(const arguments& args);
int profiles(const arguments& args);
int forget(const arguments& args);
int export_breaches(const arguments& args);
int tune_policy(const arguments& args);
int models(const arguments& args);
int version(const arguments& args);

}  // namespace dtbridge::app
