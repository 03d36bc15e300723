#pragma once

#include <string>

namespace dtbridge
{

/// Makes the folder and those above it (0750, less the umask) where they are missing. Throws db::error.
void make_folder(const std::string& path);

/// Makes what was created in the folder survive a power cut. Throws db::error.
void sync_folder(const std::string& path);

/// Renames the folder, durably. Throws db::error.
void rename_folder(const std::string& from, const std::string& to);

bool folder_exists(const std::string& path);

/// "a/b/c" gives "a/b".
std::string parent_folder(const std::string& path);

}  // namespace dtbridge
