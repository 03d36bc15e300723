#pragma once

/// The files that the configuration names: where they are, reading them within bounds, and what a first look
/// can see.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <dtbridge/core/failure.hpp>
#include <dtbridge/core/file.hpp>
#include <dtbridge/core/secret.hpp>

#include "config/section.hpp"

namespace dtbridge::config
{

inline constexpr std::size_t max_config_bytes = 4u << 20;
inline constexpr std::size_t max_secret_bytes = 64u << 10;
inline constexpr std::size_t max_pem_bytes = 4u << 20;  // a bundle of every public CA is under 1 MiB

/// Absolute paths as they are, others in folder.
std::string in_folder(const std::string& folder, std::string_view path);

struct file_places
{
    std::string folder;                 ///< of the configuration file
    std::string credentials_directory;  ///< "" where there is none
};

/// Every *_file: from the credentials directory if it is there, else in the folder.
std::string resolve(const file_places& places, const std::string& value);

/// Reads the secret that s.key names into out, trimmed; path is where it was. Reports what is wrong, never
/// the secret.
bool read_secret(section& s, std::string_view key, const file_places& places, secret& out, std::string& path);

enum class pem { certificate, private_key };
/// Resolves the PEM file that s.key names ("" or not set: answers ""), reports where it cannot be read or
/// holds none.
std::string read_pem(section& s, std::string_view key, const file_places& places, pem what);

}  // namespace dtbridge::config
