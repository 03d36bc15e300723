#pragma once

/// Certificates made at test time: a CA, a server, and clients; never on disk beyond a temporary folder.

#include <filesystem>
#include <string>

namespace dtbridge::test
{

/// A folder of its own under the system's temporary folder, removed at the end.
class keys_folder
{
public:
    keys_folder();
    ~keys_folder();
    keys_folder(const keys_folder&) = delete;
    keys_folder& operator=(const keys_folder&) = delete;
    const std::filesystem::path& path() const { return path_; }
    std::string file(const std::string& name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

/// Writes ca.pem, server.pem, server.key, client.pem, client.key and a second, unrelated CA with other.pem,
/// other.key (a client that the first CA does not know). The server is localhost and 127.0.0.1.
class collector_keys
{
public:
    collector_keys();
    std::string file(const std::string& name) const { return folder_.file(name); }

private:
    keys_folder folder_;
};

}  // namespace dtbridge::test
