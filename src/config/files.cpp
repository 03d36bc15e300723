#include "config/files.hpp"

#include <algorithm>
#include <filesystem>

#include <sys/stat.h>

#include <dtbridge/core/text.hpp>

namespace dtbridge::config
{

namespace
{

/// A token pasted where a file name belongs must not be repeated in a problem: a path of 32 or more letters
/// and digits without a dot or slash is taken for one.
bool looks_like_token(std::string_view value)
{
    return value.size() >= 32 && std::all_of(value.begin(), value.end(), [](unsigned char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
           });
}

}  // namespace

std::string in_folder(const std::string& folder, std::string_view path)
{
    return (std::filesystem::path(folder) / std::filesystem::path(path)).lexically_normal().string();
}

std::string resolve(const file_places& places, const std::string& value)
{
    // Names of credentials have no slash (systemd.exec(5), LoadCredential=).
    if (!places.credentials_directory.empty() && value.find('/') == std::string::npos)
    {
        std::string credential = in_folder(places.credentials_directory, value);
        struct stat facts
        {
        };
        if (::stat(credential.c_str(), &facts) == 0)
            return credential;
    }
    return in_folder(places.folder, value);
}

bool read_secret(section& s, std::string_view key, const file_places& places, secret& out, std::string& path)
{
    std::string value;
    if (!s.read(key, value))
        return false;
    if (value.empty())
    {
        s.error(key, "is empty; expected the name of a file that holds the secret");
        return false;
    }
    path = resolve(places, value);
    auto file = read_file(path, max_secret_bytes);
    if (!file)
    {
        if (looks_like_token(value))
            s.error(key,
                    "no such file, and the value looks like the secret itself: put it into a file (mode "
                    "0600) and "
                    "write the file's name here");
        else
            s.error(key, path + ' ' + file.error().detail);
        return false;
    }
    std::string_view trimmed = text::trim_blank(file->bytes);
    bool right = false;
    if (trimmed.empty())
        s.error(key, path + " is empty; expected the secret on its one line");
    else if (!std::all_of(
                 trimmed.begin(), trimmed.end(), [](unsigned char c) { return c >= 0x20 && c != 0x7f; }))
        s.error(
            key,
            path + " holds more than one line or control characters; expected the secret alone on one line");
    else
    {
        out = secret(trimmed);
        right = true;
        if (file->world_readable)
            s.warning(key, path + " can be read by every user of this host; chmod 0640 and chgrp dtbridge");
    }
    std::fill(file->bytes.begin(), file->bytes.end(), '\0');
    return right;
}

std::string read_pem(section& s, std::string_view key, const file_places& places, pem what)
{
    std::string value;
    if (!s.read(key, value) || value.empty())
        return {};
    std::string path = resolve(places, value);
    auto file = read_file(path, max_pem_bytes);
    if (!file)
    {
        s.error(key, path + ' ' + file.error().detail);
        return {};
    }
    bool certificate = file->bytes.find("-----BEGIN CERTIFICATE-----") != std::string::npos ||
                       file->bytes.find("-----BEGIN TRUSTED CERTIFICATE-----") != std::string::npos;
    bool private_key = file->bytes.find("PRIVATE KEY-----") != std::string::npos;
    if (what == pem::certificate && !certificate)
    {
        s.error(key, path + " holds no certificate; expected PEM with -----BEGIN CERTIFICATE-----");
        return {};
    }
    if (what == pem::private_key)
    {
        if (!private_key)
        {
            s.error(key, path + " holds no private key; expected PEM with -----BEGIN PRIVATE KEY-----");
            return {};
        }
        if (file->world_readable)
            s.warning(key, path + " can be read by every user of this host; chmod 0640 and chgrp dtbridge");
        std::fill(file->bytes.begin(), file->bytes.end(), '\0');
    }
    return path;
}

}  // namespace dtbridge::config
