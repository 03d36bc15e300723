#pragma once

#include <string>

namespace dtbridge::app
{

/// This host's name, for hostname = "bridge"; "localhost" where it cannot be told.
std::string host_name();

/// Tokens and keys are in memory, and breaches too: none of it goes to a core file.
void forbid_cores();

/// A peer that goes away ends a write with an error and not the process. For commands that speak to the
/// network; those that print end quietly when `head` has had enough.
void ignore_broken_pipes();

/// A command run as root goes on as the owner of the state folder, so that no file in it ever belongs to root
/// and the network is not spoken to as root (product.md 7). Nothing happens for others, or where the folder
/// is root's or absent. Throws action_error when it cannot be done.
void become_owner(const std::string& state_dir);

}  // namespace dtbridge::app
