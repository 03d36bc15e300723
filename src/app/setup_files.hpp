#pragma once

/// What `setup` writes: a first configuration and the token beside it. Everything is tried in a folder of its
/// own first, by the reader that the service uses; the real files are replaced as a whole or not at all.

#include <string>
#include <vector>

#include <dtbridge/config/configuration.hpp>
#include <dtbridge/core/secret.hpp>

namespace dtbridge::app
{

/// The answers so far; "" is not answered yet.
struct setup_draft
{
    std::string state_dir;  ///< "" the default
    std::string master, url, public_token;
    secret private_token;
    std::string master_ca, master_pin;  ///< CAs: absolute paths of what the operator named
    std::string destination, profile, address, transport;
    std::string destination_ca, destination_pin;
    std::string stage;  ///< "1", "2", "3", "everything"
};

/// The text of dtbridge.toml. Stands for unanswered keys what is valid, so that a draft can be checked at
/// each answer.
std::string render(const setup_draft& d);

/// Where the master's private token goes, relative to the configuration file's folder.
std::string token_file_of(const setup_draft& d);

/// Loads the draft as if it lay in folder. Problems that are there only because the files lie elsewhere are
/// not in it. Throws action_error where nothing can be written there.
config::loaded try_draft(const setup_draft& d, const std::string& folder);

struct written_files
{
    std::string config, token;
    std::string kept;          ///< the configuration that was there before; "" for none
    bool for_service = false;  ///< the group dtbridge may read them; else their owner alone
};
/// Writes token, copies of the CAs, and configuration (0640 root:dtbridge where that group exists and root
/// writes, else 0600), keeping a configuration that was there under another name. Throws action_error; then
/// the old files are in place.
written_files write_setup(const setup_draft& d, const std::string& config_file);

}  // namespace dtbridge::app
