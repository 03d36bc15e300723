/// Where files are looked for, what of them is refused, and that no secret leaves by a problem.

#include <sys/stat.h>
#include <unistd.h>

#include "unit/config/case.hpp"
#include "unit/config/certificate.hpp"

#include "config/files.hpp"

using namespace config_test;
using namespace dtbridge;

namespace
{

/// The only problem of the master's file with its token file as it is.
std::string problem_of_token(const folder& f)
{
    auto l = f.load(std::string(master) + std::string(destination));
    BOOST_REQUIRE(l.problems.size() == 1u);
    BOOST_TEST(l.problems[0].line == 5u);
    BOOST_TEST(l.problems[0].key == "master.private_token_file");
    return config::to_line(l.problems[0]);
}

bool holds(const std::string& text, std::string_view part)
{
    return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(files)

BOOST_AUTO_TEST_CASE(a_missing_configuration_file)
{
    auto l = config::load("/nonexistent/dtbridge.toml", {});
    BOOST_TEST(!l.ok);
    BOOST_REQUIRE(l.problems.size() == 1u);
    BOOST_TEST(config::to_line(l.problems[0]) == "error: /nonexistent/dtbridge.toml:0: the file is missing");
}

BOOST_AUTO_TEST_CASE(a_folder_a_pipe_and_a_huge_file_are_refused_at_once)
{
    folder f;
    BOOST_TEST(holds(lines_of(config::load(f.path(), {})), "is a folder"));
    BOOST_REQUIRE(::mkfifo((f / "pipe").c_str(), 0600) == 0);
    BOOST_TEST(holds(lines_of(config::load(f / "pipe", {})), "not a regular file"));
    const auto huge = f.load(std::string(config::max_config_bytes + 1, '#'));
    BOOST_TEST(holds(lines_of(huge), "longer than 4096 KiB"));
    BOOST_TEST(f.load(std::string(master) + std::string(destination) +
                      std::string(config::max_config_bytes - 400, '#'))
                   .ok);
}

BOOST_AUTO_TEST_CASE(tokens_come_from_the_credentials_directory_first)
{
    folder f, credentials;
    credentials.write("acme.token", "from-credentials\n");
    auto l = f.load(std::string(master) + std::string(destination), {credentials.path()});
    BOOST_REQUIRE(l.ok);
    BOOST_TEST(l.value.masters.at(0).private_token.equals("from-credentials"));
    BOOST_TEST(l.value.masters.at(0).private_token_file == credentials / "acme.token");
    std::filesystem::remove(credentials / "acme.token");
    l = f.load(std::string(master) + std::string(destination), {credentials.path()});
    BOOST_REQUIRE(l.ok);
    BOOST_TEST(l.value.masters.at(0).private_token_file == f / "acme.token");
}

BOOST_AUTO_TEST_CASE(blanks_around_a_token_are_trimmed)
{
    folder f;
    f.write("acme.token", " \t" + std::string(private_token) + " \r\n\n");
    auto l = f.load(std::string(master) + std::string(destination));
    BOOST_REQUIRE(l.ok);
    BOOST_TEST(l.value.masters.at(0).private_token.equals(private_token));
}

BOOST_AUTO_TEST_CASE(tokens_that_are_refused)
{
    folder f;
    f.write("acme.token", " \n");
    BOOST_TEST(holds(problem_of_token(f), "is empty"));
    f.write("acme.token", "one\ntwo\n");
    BOOST_TEST(holds(problem_of_token(f), "more than one line"));
    f.write("acme.token", std::string(config::max_secret_bytes + 1, 'x'));
    BOOST_TEST(holds(problem_of_token(f), "longer than 64 KiB"));
    std::filesystem::remove(f / "acme.token");
    std::filesystem::create_directory(f / "acme.token");
    BOOST_TEST(holds(problem_of_token(f), "is a folder"));
}

BOOST_AUTO_TEST_CASE(a_token_that_all_can_read_is_a_warning)
{
    folder f;
    ::chmod((f / "acme.token").c_str(), 0644);
    const std::string line = problem_of_token(f);
    BOOST_TEST(line.rfind("warning: ", 0) == 0u);
    BOOST_TEST(holds(line, "every user"));
    BOOST_TEST(holds(line, "chmod"));
    BOOST_TEST(!holds(line, private_token));
}

BOOST_AUTO_TEST_CASE(a_path_in_a_message_is_one_line)
{
    folder f;
    auto l = f.load(
        "[[master]]\nname = \"a\"\nurl = \"https://a.example\"\npublic_token = \"a\"\nprivate_token_file = "
        "\"x\\nerror: forged\"\n" +
        std::string(destination));
    BOOST_REQUIRE(l.problems.size() == 1u);
    BOOST_TEST(!holds(config::to_line(l.problems[0]), "\n"));
}

BOOST_AUTO_TEST_CASE(certificate_and_key_belong_together)
{
    folder f;
    const auto made = make_certificate(), other = make_certificate();
    f.write("c.pem", made.cert);
    f.write("c.key", made.key);
    f.write("other.key", other.key);
    f.write("damaged.pem", "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n");
    auto only = [&f](std::string_view tls) {
        auto l =
            f.load(std::string(master) + std::string(destination) + "tls = { " + std::string(tls) + " }\n");
        BOOST_TEST_CONTEXT(lines_of(l))
        BOOST_REQUIRE(l.problems.size() == 1u);
        BOOST_TEST(l.problems[0].line == 9u);
        return l.problems[0].key + ": " + l.problems[0].message;
    };
    BOOST_TEST(lines_of(f.load(std::string(master) + std::string(destination) +
                               "tls = { cert_file = \"c.pem\", key_file = \"c.key\" }\n")) == "");
    BOOST_TEST(
        holds(only("cert_file = \"c.pem\""), "destination.tls.cert_file: a certificate without its key"));
    BOOST_TEST(
        holds(only("key_file = \"c.key\""), "destination.tls.key_file: a key without its certificate"));
    BOOST_TEST(holds(only("cert_file = \"c.pem\", key_file = \"acme.token\""), "holds no private key"));
    BOOST_TEST(holds(only("cert_file = \"c.pem\", key_file = \"other.key\""),
                     "destination.tls.key_file: " + (f / "other.key")));
    BOOST_TEST(holds(only("ca_file = \"damaged.pem\""), "destination.tls.ca_file: " + (f / "damaged.pem")));
    ::chmod((f / "c.key").c_str(), 0644);
    BOOST_TEST(holds(only("cert_file = \"c.pem\", key_file = \"c.key\""), "every user"));
}

BOOST_AUTO_TEST_CASE(relative_paths_start_at_the_configuration_files_folder)
{
    folder f;
    f.write("etc/conf.toml", std::string(master) + std::string(destination) + "rules = \"../rules.toml\"\n");
    f.write("etc/acme.token", private_token);
    f.write("rules.toml", "");
    auto l = config::load(f / "etc/conf.toml", {});
    BOOST_TEST_CONTEXT(lines_of(l))
    BOOST_REQUIRE(l.ok);
    BOOST_TEST(l.value.masters.at(0).private_token_file == f / "etc/acme.token");
    BOOST_TEST(l.value.destinations.at(0).options.rules_file == f / "rules.toml");
}

BOOST_AUTO_TEST_SUITE_END()
