#pragma once

/// A temporary folder with the files that configurations of these tests name.

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include <dtbridge/config/configuration.hpp>

namespace config_test
{

// Texts that must never appear in a problem.
inline constexpr std::string_view private_token = "0c0ffee0secret0secret0secret0c0ffee00000";
inline constexpr std::string_view proxy_password = "hunter2-proxy-password";

class folder
{
public:
    folder()
    {
        std::string name = (std::filesystem::temp_directory_path() / "dtbridge-config-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr)
            throw std::runtime_error("no temporary folder");
        path_ = name;
        write("acme.token", std::string(private_token) + "\n");
        write("short.token", "0123456789abcde\n");
        write("proxy.password", std::string(proxy_password) + "\n");
    }
    folder(const folder&) = delete;
    folder& operator=(const folder&) = delete;
    ~folder()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    std::string operator/(std::string_view name) const { return path_ + '/' + std::string(name); }
    const std::string& path() const { return path_; }

    /// Readable by the owner alone, as secrets should be.
    void write(std::string_view name, std::string_view text) const
    {
        const std::string file = *this / name;
        std::filesystem::create_directories(std::filesystem::path(file).parent_path());
        std::ofstream(file, std::ios::binary) << text;
        std::filesystem::permissions(
            file, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    }

    dtbridge::config::loaded load(std::string_view text, const dtbridge::config::environment& env = {}) const
    {
        write("dtbridge.toml", text);
        return dtbridge::config::load(*this / "dtbridge.toml", env);
    }

private:
    std::string path_;
};

inline std::string lines_of(const dtbridge::config::loaded& l)
{
    std::string all;
    for (const auto& p : l.problems)
        all += dtbridge::config::to_line(p) + '\n';
    return all;
}

// Lines 1 to 5.
inline constexpr std::string_view master =
    "[[master]]\n"
    "name = \"acme\"\n"
    "url = \"https://darktrace.acme.example\"\n"
    "public_token = \"public0123\"\n"
    "private_token_file = \"acme.token\"\n";
// Lines 6 to 8, after the master's.
inline constexpr std::string_view destination =
    "[[destination]]\n"
    "name = \"siem\"\n"
    "address = \"siem.example\"\n";

}  // namespace config_test
