#include "app/setup_files.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <dtbridge/core/file.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>

#include "app/command.hpp"

namespace dtbridge::app
{

namespace
{

namespace fs = std::filesystem;

constexpr std::size_t max_ca_bytes = 1u << 20;

[[noreturn]] void cannot(const std::string& what, int error)
{
    throw action_error(what + ": " + std::strerror(error));
}

std::string or_else(const std::string& value, const char* stand_in)
{
    return text::quoted(value.empty() ? stand_in : value);
}

std::string tls_line(const std::string& ca, const std::string& pin)
{
    std::string keys;
    if (!ca.empty())
        keys = "ca_file = " + text::quoted(ca);
    if (!pin.empty())
        keys += (keys.empty() ? "" : ", ") + ("fingerprint_sha256 = " + text::quoted(pin));
    return keys.empty() ? "" : "tls = { " + keys + " }\n";
}

std::string rules_of(const std::string& stage)
{
    return "mappings/" + (stage == "everything" || stage.empty() ? "everything" : "stage-" + stage) + ".toml";
}

/// A folder that is gone again, with all that is in it.
class staging
{
public:
    explicit staging(const std::string& folder)
    {
        std::string name = folder + "/.setup-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr)
            cannot(folder + ": cannot be written to", errno);
        path = name;
    }
    ~staging()
    {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
    staging(const staging&) = delete;
    staging& operator=(const staging&) = delete;
    std::string path;
};

/// The group that the service runs as, where this process may give files to it.
std::optional<gid_t> service_group()
{
    if (::geteuid() != 0)
        return std::nullopt;
    const auto* g = ::getgrnam("dtbridge");
    if (g == nullptr)
        return std::nullopt;
    return g->gr_gid;
}

/// A new file with its rights from the first byte on, on disk when it returns.
void write_new(const std::string& path, std::string_view text, std::optional<gid_t> group)
{
    ::unlink(path.c_str());
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        cannot(path, errno);
    bool good = !group || (::fchown(fd, 0, *group) == 0 && ::fchmod(fd, 0640) == 0);
    while (good && !text.empty())
    {
        const auto n = ::write(fd, text.data(), text.size());
        good = n >= 0 || errno == EINTR;
        if (n > 0)
            text.remove_prefix(static_cast<std::size_t>(n));
    }
    good = good && ::fsync(fd) == 0;
    const int error = errno;
    ::close(fd);
    if (!good)
    {
        ::unlink(path.c_str());
        cannot(path, error);
    }
}

void make_folder(const std::string& path, mode_t mode, std::optional<gid_t> group)
{
    if (::mkdir(path.c_str(), mode) != 0)
    {
        if (errno == EEXIST)
            return;
        cannot(path, errno);
    }
    if (group && ::chown(path.c_str(), 0, *group) != 0)
        cannot(path, errno);
}

std::string folder_of(const std::string& file)
{
    const auto folder = fs::absolute(file).lexically_normal().parent_path().string();
    return folder.empty() ? "/" : folder;
}

/// A file that setup writes, by its name beside the configuration.
struct new_file
{
    std::string name, text;
};

/// The CA as the service will read it: a copy, since it sees neither /root nor /home and is of another user.
void copy_ca(std::string& ca, const std::string& name, std::vector<new_file>& to)
{
    if (ca.empty())
        return;
    auto read = read_file(ca, max_ca_bytes);
    if (!read)
        throw action_error(ca + ' ' + read.error().detail);
    ca = "credentials/" + name;
    to.push_back({ca, std::move(read->bytes)});
}

/// "dtbridge.toml.old-20260102T030405Z"
std::string kept_name(const std::string& file)
{
    auto at = rfc3339_ms(now_ms()).substr(0, 19);
    std::erase_if(at, [](char c) { return c == '-' || c == ':'; });
    return file + ".old-" + at + "Z";
}

}  // namespace

std::string token_file_of(const setup_draft& d)
{
    return "credentials/" + (d.master.empty() ? std::string("master") : d.master) + ".token";
}

std::string render(const setup_draft& d)
{
    std::string out =
        "# Written by `dtbridge setup`. docs/configuration.md and dtbridge.toml(5) explain every key;\n"
        "# `dtbridge check` validates this file, `systemctl reload dtbridge` makes a change take effect.\n\n";
    if (!d.state_dir.empty())
        out += "[service]\nstate_dir = " + text::quoted(d.state_dir) + "\n\n";
    out += "[[master]]\nname = " + or_else(d.master, "master") + '\n';
    out += "url = " + or_else(d.url, "https://master.invalid") + '\n';
    out += "public_token = " + or_else(d.public_token, "0") + '\n';
    out += "private_token_file = " + text::quoted(token_file_of(d)) + '\n';
    out += tls_line(d.master_ca, d.master_pin);
    out += "\n[[destination]]\nname = " + or_else(d.destination, "siem") + '\n';
    if (!d.profile.empty())
        out += "profile = " + text::quoted(d.profile) + '\n';
    if (!d.transport.empty())
        out += "transport = " + text::quoted(d.transport) + '\n';
    out += "address = " + or_else(d.address, "siem.invalid") + '\n';
    out += "rules = " + text::quoted(rules_of(d.stage)) + '\n';
    out += tls_line(d.destination_ca, d.destination_pin);
    return out;
}

config::loaded try_draft(const setup_draft& d, const std::string& folder)
{
    const staging place(folder);
    make_folder(place.path + "/credentials", 0700, std::nullopt);
    const auto token = d.private_token.reveal();
    write_new(place.path + '/' + token_file_of(d), token.empty() ? "0" : token, std::nullopt);
    const auto file = place.path + "/dtbridge.toml";
    write_new(file, render(d), std::nullopt);
    return config::load(file, {});
}

written_files write_setup(const setup_draft& d, const std::string& config_file)
{
    const auto folder = folder_of(config_file);
    const auto group = service_group();
    written_files out;
    out.config = config_file;
    out.token = folder + '/' + token_file_of(d);
    out.for_service = group.has_value();
    make_folder(folder + "/credentials", group ? 0750 : 0700, group);
    auto final = d;
    std::vector<new_file> files;
    files.push_back({token_file_of(d), std::string(d.private_token.reveal()) + '\n'});
    // Names of masters and destinations have no dot, so none is another's.
    copy_ca(final.master_ca, d.master + ".ca.pem", files);
    copy_ca(final.destination_ca, d.destination + ".collector-ca.pem", files);
    files.push_back({fs::path(config_file).filename().string(), render(final)});  // last: it names the others
    const auto path_of = [&folder](const new_file& f) { return folder + '/' + f.name; };
    try
    {
        for (const auto& f : files)
            write_new(path_of(f) + ".new", f.text, group);
        if (::access(config_file.c_str(), F_OK) == 0)
        {
            out.kept = kept_name(config_file);
            // A second name of the old file, so that there is one at every moment.
            if (::link(config_file.c_str(), out.kept.c_str()) != 0)
                cannot(out.kept, errno);
        }
        for (const auto& f : files)
            if (::rename((path_of(f) + ".new").c_str(), path_of(f).c_str()) != 0)
                cannot(path_of(f), errno);
    }
    catch (...)
    {
        for (const auto& f : files)
            ::unlink((path_of(f) + ".new").c_str());
        throw;
    }
    return out;
}

}  // namespace dtbridge::app
