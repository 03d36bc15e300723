#pragma once

#include <string>
#include <vector>

namespace dtbridge
{

/// Makes the folder and those above it (0750, less the umask) where they are missing. Throws db::error.
void make_folder(const std::string& path);

/// Makes what was created in the folder survive a power cut. Throws db::error.
void sync_folder(const std::string& path);

/// Renames the folder, durably. Throws db::error.
void rename_folder(const std::string& from, const std::string& to);

bool folder_exists(const std::string& path);

/// Removes the folder and all in it. False where there was none. Throws db::error.
bool remove_folder(const std::string& path);

/// Names of the folders in path that hold a file of that name, in order.
std::vector<std::string> folders_with(const std::string& path, const char* file);

/// "a/b/c" gives "a/b".
std::string parent_folder(const std::string& path);

}  // namespace dtbridge
