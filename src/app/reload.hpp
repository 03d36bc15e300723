#pragma once

/// What of two configurations differs, for reload. Pure but for reading the files that are named.

#include <string>
#include <vector>

#include <dtbridge/config/configuration.hpp>

namespace dtbridge::app
{

/// SHA-256 (hex) over the contents of these files, so that a renewed certificate is seen; a file that cannot
/// be read counts as its own state. Empty names are skipped.
std::string files_digest(const std::vector<std::string>& files);

/// The same poller would be made of both.
bool same_poller(const poll::master_options& a, const poll::master_options& b);

/// The files whose renewal matters to a master's connection.
std::vector<std::string> connection_files(const poll::master_options& m);

}  // namespace dtbridge::app
