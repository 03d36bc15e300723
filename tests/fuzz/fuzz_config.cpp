/// Any text as dtbridge.toml: problems that name the file, one line each, never a crash and never a secret.
///
/// One secret is planted wherever people put theirs: in the files that the text may name (planted.*, in the
/// folder of the credentials), and in a section that is added behind the text, where it belongs
/// (public_token) or where it does not (a password in a URL, the token in place of its file's name, ...).

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <dtbridge/config/configuration.hpp>

#include "support/temp_dir.hpp"

namespace
{

using namespace dtbridge;

const std::string planted = "PlantedSecret0123456789abcdefABCDEF";  // long enough to be taken for a token

struct folder
{
    folder()
    {
        write("planted.token", planted + '\n');
        write("planted.password", planted);
        write("planted.lines", planted + '\n' + planted + '\n');
        write("planted.blanks", planted + " \xc3\xa4 " + planted);
        write("planted.key", "-----BEGIN PRIVATE KEY-----\n" + planted + "\n-----END PRIVATE KEY-----\n");
        write("planted.pem", "-----BEGIN CERTIFICATE-----\n" + planted + "\n-----END CERTIFICATE-----\n");
        write("planted.toml", "secret = \"" + planted + '"');  // a secret where a mapping or a map belongs
    }
    void write(const char* name, const std::string& text)
    {
        std::ofstream(dir / name, std::ios::binary) << text;
        ::chmod((dir / name).c_str(), 0600);
    }
    test::temp_dir dir;
};

void check(const std::string& text, const config::environment& env)
{
    static const int file = ::memfd_create("dtbridge.toml", 0);
    if (file < 0 || ::ftruncate(file, 0) != 0 ||
        ::pwrite(file, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
        std::abort();
    const auto loaded = config::load("/proc/self/fd/" + std::to_string(file), env);
    const bool told = text.find(planted) != std::string::npos;
    std::size_t errors = 0;
    for (const auto& p : loaded.problems)
    {
        errors += p.warning ? 0 : 1;
        const auto line = config::to_line(p);
        if (line.find('\n') != std::string::npos)
            std::abort();
        if (line.find(planted) != std::string::npos || p.message.find(planted) != std::string::npos)
        {
            std::cerr << (told ? "a secret of the text: " : "a secret of a file: ") << line << '\n';
            std::abort();
        }
    }
    if (loaded.ok != (errors == 0))
        std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const folder files;
    static const config::environment env{files.dir.path()};
    static const std::string behind[] = {
        "\n[[master]]\nname = \"p\"\nurl = \"https://p.example\"\npublic_token = \"" + planted +
            "\"\nprivate_token_file = \"planted.token\"\nproxy = \"http://u@h:1\"\n"
            "proxy_password_file = \"planted.password\"\n",
        "\n[[master]]\nname = \"p\"\nurl = \"https://u:" + planted + "@p.example\"\npublic_token = \"" +
            planted + " x\"\nprivate_token_file = \"" + planted + "\"\nproxy = \"http://u:" + planted +
            "@h:1\"\n",
        "\n[[master]]\nname = \"p\"\nurl = \"https://p.example\"\npublic_token = [\"" + planted +
            "\"]\nprivate_token = \"" + planted +
            "\"\nprivate_token_file = \"planted.lines\"\n"
            "proxy = \"ftp://u:" +
            planted + "@h:1\"\nproxy_password = \"" + planted + "\"\n",
        "\n[[api_token]]\nname = \"p\"\nfile = \"planted.blanks\"\nmasters = [\"*\"]\ntoken = \"" + planted +
            "\"\n[[api_token]]\nname = \"q\"\nfile = \"planted.token\"\nmasters = [\"*\"]\n",
    };
    const std::string text(reinterpret_cast<const char*>(data), size);
    if (text.find(planted) != std::string::npos)
        return 0;  // where it stands then, it may be repeated
    check(text, env);
    for (const auto& section : behind)
        check(text + section, env);
    return 0;
}
