/// `setup`: a first configuration by questions, or by flags for Ansible and images. Every answer is judged by
/// the reader that the service uses; nothing is written before all of them are good.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include <unistd.h>

#include <dtbridge/core/time.hpp>
#include <dtbridge/net/connect_report.hpp>
#include <dtbridge/net/stream.hpp>

#include "app/commands.hpp"
#include "app/connect_check.hpp"
#include "app/connect_text.hpp"
#include "app/host.hpp"
#include "app/load_config.hpp"
#include "app/options.hpp"
#include "app/run_alone.hpp"
#include "app/setup_dialogue.hpp"
#include "app/setup_files.hpp"
#include "app/test_event.hpp"

namespace dtbridge::app
{

namespace
{

namespace fs = std::filesystem;

const std::vector<option> known_options = {
    {"url", "URL", "the master's address, as https://darktrace.acme.example"},
    {"master", "NAME", "what the bridge calls it (darktrace)"},
    {"public-token", "T", "public token of the appliance's pair"},
    {"private-token-file", "F", "file to read the private token from; - is standard input"},
    {"ca-file", "F", "PEM of the CA that issued the master's certificate; it is copied beside the token"},
    {"fingerprint-sha256", "HEX", "pins the master's certificate"},
    {"profile", "P", "SIEM profile; `dtbridge profiles` lists them, none for none"},
    {"destination", "NAME", "what the bridge calls the collector (the profile's name)"},
    {"address", "A", "the collector, as siem.example or siem.example:6514"},
    {"transport", "T", "udp, tcp, tls, relp or relp+tls (the profile's)"},
    {"destination-ca-file", "F", "PEM of the CA that issued the collector's certificate"},
    {"destination-fingerprint-sha256", "HEX", "pins the collector's certificate"},
    {"stage", "S", "1, 2, 3 or everything: which breaches are forwarded (1)"},
    {"state-dir", "DIR", "archive, positions and cursors (/var/lib/dtbridge)"},
    {"overwrite", "", "replaces a configuration that is there; the old one is kept beside it"},
    {"no-connect", "", "connects to nobody: no look at certificates, no check, no test event"},
    {"batch", "", "asks nothing: what is missing is an error"},
};

/// The dialogue's state: the draft, where it goes, and who answers.
struct session
{
    const parsed& said;
    dialogue person;
    std::string file, folder;
    setup_draft draft;

    /// The reader's words about one key of the draft as it is now; "" where it is right.
    std::string trouble(const std::string& key) const
    {
        for (const auto& p : try_draft(draft, folder).problems)
        {
            if (!p.warning && p.key == key)
                return p.message;
        }
        return {};
    }

    void answer(std::string& member,
                const std::string& flag,
                const std::string& key,
                const std::string& question,
                const std::string& preset)
    {
        const auto wrong = [&](const std::string& text) -> std::string {
            if (text.empty())
                return "an answer is needed";
            member = text;
            return trouble(key);
        };
        if (!said.has(flag) && (person.able() || preset.empty()))
        {
            person.ask(question, preset, "--" + flag, wrong);
            return;
        }
        if (const auto why = wrong(said.get(flag, preset)); !why.empty())
            throw usage_error("--" + flag + ": " + why);
    }
};

std::string read_all(std::istream& in)
{
    std::string text{std::istreambuf_iterator<char>(in), {}};
    while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0)
        text.pop_back();
    return text;
}

secret token_from_file(const std::string& name)
{
    if (name == "-")
        return secret(read_all(std::cin));
    std::ifstream in(name, std::ios::binary);
    if (!in)
        throw action_error(name + ": cannot be read");
    return secret(read_all(in));
}

void ask_tokens(session& s)
{
    const auto right = [](const std::string& text) -> std::string {
        const bool visible =
            std::all_of(text.begin(), text.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
        return text.empty() || !visible || text.size() > 512
                   ? "a token is letters and digits, as the appliance "
                     "shows it"
                   : "";
    };
    if (s.said.has("public-token"))
        s.draft.public_token = s.said.get("public-token");
    else
        s.draft.public_token =
            s.person
                .ask_hidden(
                    "Public token (on the appliance: System Config, API Token)", "--public-token", right)
                .reveal();
    if (const auto why = right(s.draft.public_token); !why.empty())
        throw usage_error("--public-token: " + why);
    if (s.said.has("private-token-file"))
        s.draft.private_token = token_from_file(s.said.get("private-token-file"));
    else
        s.draft.private_token = s.person.ask_hidden("Private token", "--private-token-file", right);
    if (const auto why = right(std::string(s.draft.private_token.reveal())); !why.empty())
        throw usage_error("--private-token-file: " + why);
}

struct look
{
    std::optional<failure> problem;
    net::connect_report seen;
};

awaitable<look> look_at(net::connect_options o)
{
    look answer;
    o.report = std::make_shared<net::connect_report>();
    auto report = o.report;
    auto opened = co_await net::connect(std::move(o));
    if (!opened)
        answer.problem = opened.error();
    answer.seen = *report;
    co_return answer;
}

void show(const net::certificate_facts& c)
{
    std::cout << "  subject      " << c.subject << "\n  issuer       " << c.issuer << "\n  names        "
              << (c.names.empty() ? "none" : c.names) << "\n  valid until  "
              << rfc3339_ms(c.not_after).substr(0, 10) << "\n  fingerprint  " << c.fingerprint_sha256 << '\n';
}

/// Connects once with what the draft says about a certificate; where that is not enough, shows the
/// certificate and lets a person pin it.
void settle_certificate(session& s,
                        const std::string& who,
                        const net::tls_options& tls,
                        net::connect_options peer,
                        const std::string& pin_flag,
                        std::string& pin)
{
    auto client = net::make_tls_client(tls);
    if (!client)
        throw action_error(client.error().detail);
    peer.tls = *client;
    asio::io_context io(1);
    const auto saw = run_alone(io, look_at(std::move(peer)));
    if (!saw.problem)
    {
        std::cout << "The certificate of " << who << " is verified.\n";
        return;
    }
    std::cout << saw.problem->detail << '\n';
    if (saw.problem->code != errc::tls_refused || saw.seen.chain.empty())
    {
        if (!s.person.able())
            return;  // the check at the end says it again, and the exit status with it
        if (!s.person.yes("Go on all the same?", true, ""))
            throw action_error("nothing was written");
        return;
    }
    const auto& leaf = saw.seen.chain.front();
    show(leaf);
    if (!s.person.able())
        throw action_error("compare that fingerprint with the one that " + who +
                           "'s own page shows, and give it as " + pin_flag);
    if (!s.person.yes("Compare the fingerprint with the one on the appliance or collector itself. Is it the "
                      "same, and shall this certificate be pinned?",
                      false,
                      pin_flag))
        throw action_error("the certificate was not confirmed; nothing was written");
    pin = leaf.fingerprint_sha256;
}

/// The configuration's relative paths begin at its own folder, those of a flag here.
std::string absolute(const std::string& path)
{
    return path.empty() ? path : fs::absolute(path).lexically_normal().string();
}

void ask_master(session& s)
{
    s.answer(s.draft.url, "url", "master.url", "Address of the Darktrace master (https://..)", "");
    s.answer(s.draft.master, "master", "master.name", "Name for it (a-z, 0-9, -)", "darktrace");
    ask_tokens(s);
    s.draft.master_ca = absolute(s.said.get("ca-file"));
    s.draft.master_pin = s.said.get("fingerprint-sha256");
    if (const auto why = s.trouble("master.tls.ca_file"); !why.empty())
        throw usage_error("--ca-file: " + why);
    if (const auto why = s.trouble("master.tls.fingerprint_sha256"); !why.empty())
        throw usage_error("--fingerprint-sha256: " + why);
    const auto tried = try_draft(s.draft, s.folder);
    if (s.said.has("no-connect") || tried.value.masters.empty() || !tried.value.masters.front().https)
        return;
    const auto& m = tried.value.masters.front();
    net::connect_options peer;
    peer.peer = m.address;
    settle_certificate(s, m.url, m.tls, std::move(peer), "--fingerprint-sha256", s.draft.master_pin);
}

void ask_profile(session& s)
{
    auto& profile = s.draft.profile;
    const auto wrong = [&](const std::string& text) {
        profile = text == "none" ? "" : text;
        return s.trouble("destination.profile");
    };
    if (s.person.able() && !s.said.has("profile"))
    {
        std::string names;
        for (const auto& name : config::profile_names())
            names += name + ", ";
        s.person.ask("SIEM: " + names + "or none", "none", "--profile", wrong);
    }
    else if (const auto why = wrong(s.said.get("profile", "none")); !why.empty())
        throw usage_error("--profile: " + why);
}

void ask_stage(session& s)
{
    auto& stage = s.draft.stage;
    const auto wrong = [&](const std::string& text) -> std::string {
        stage = text;
        return text == "1" || text == "2" || text == "3" || text == "everything" ? ""
                                                                                 : "1, 2, 3 or everything";
    };
    if (s.person.able() && !s.said.has("stage"))
    {
        std::cout << "Which breaches: 1 above 50 %; 2 those and models tagged \"Enhanced Monitoring\"; 3 the "
                     "tagged ones and above 40 % with thresholds of your own; everything\n";
        s.person.ask("Stage", "1", "--stage", wrong);
    }
    else if (const auto why = wrong(s.said.get("stage", "1")); !why.empty())
        throw usage_error("--stage: " + why);
}

void ask_destination(session& s)
{
    ask_profile(s);
    s.answer(s.draft.address,
             "address",
             "destination.address",
             "Address of the collector (host or host:port)",
             "");
    s.answer(s.draft.destination,
             "destination",
             "destination.name",
             "Name for it (a-z, 0-9, -)",
             s.draft.profile.empty() ? "siem" : s.draft.profile);
    s.draft.transport = s.said.get("transport");
    if (const auto why = s.trouble("destination.transport"); !why.empty())
        throw usage_error("--transport: " + why);
    ask_stage(s);
    s.draft.destination_ca = absolute(s.said.get("destination-ca-file"));
    s.draft.destination_pin = s.said.get("destination-fingerprint-sha256");
    if (const auto why = s.trouble("destination.tls.ca_file"); !why.empty())
        throw usage_error("--destination-ca-file: " + why);
    if (const auto why = s.trouble("destination.tls.fingerprint_sha256"); !why.empty())
        throw usage_error("--destination-fingerprint-sha256: " + why);
    const auto tried = try_draft(s.draft, s.folder);
    if (s.said.has("no-connect") || tried.value.destinations.empty())
        return;
    const auto& t = tried.value.destinations.front().options.transport;
    if (!transport::is_tls(t.kind) || t.addresses.empty())
        return;
    net::connect_options peer;
    peer.peer = t.addresses.front();
    settle_certificate(s,
                       t.addresses.front().text(),
                       t.tls,
                       std::move(peer),
                       "--destination-fingerprint-sha256",
                       s.draft.destination_pin);
}

void allow_overwrite(const session& s)
{
    if (::access(s.file.c_str(), F_OK) != 0 || s.said.has("overwrite"))
        return;
    if (!s.person.able())
        throw action_error(s.file +
                           " exists and is left as it is; --overwrite replaces it and keeps the old one");
    if (!s.person.yes(s.file + " exists. Replace it? The old one is kept beside it.", false, "--overwrite"))
        throw action_error(s.file + " is left as it is");
}

/// The new configuration from here, whatever a running service may have in force.
int try_it(const session& s)
{
    auto c = load_config(s.file);
    become_owner(c.service.state_dir);
    asio::io_context io(1);
    task_group tasks(io.get_executor(), [](const std::string&, std::exception_ptr) {});
    const auto checks = run_alone(
        io, check_connections(tasks, connect_targets(c.archive.database, c.masters, c.destinations)));
    print_checks(checks, std::cout);
    bool good = all_good(checks);
    for (const auto& d : c.destinations)
    {
        if (s.person.able() && !s.person.yes("Send a test event to " + d.options.name + " now?", true, ""))
            continue;
        asio::io_context own(1);
        const auto sent = run_alone(own, send_test_event(d));
        good = print_test(sent) == exit_done && good;
    }
    return good ? exit_done : exit_not_right;
}

}  // namespace

int setup(const arguments& args)
{
    const auto said = parse(args, "setup", known_options);
    if (!said)
        return exit_done;
    ignore_broken_pipes();
    const auto folder = fs::absolute(said->config()).lexically_normal().parent_path().string();
    session s{*said, dialogue(!said->has("batch") && dialogue::has_terminal()), said->config(), folder, {}};
    allow_overwrite(s);
    std::error_code ec;
    fs::create_directories(folder, ec);
    if (ec)
        throw action_error(folder + ": " + ec.message());
    s.draft.state_dir = said->get("state-dir");
    ask_master(s);
    ask_destination(s);
    const auto tried = try_draft(s.draft, s.folder);
    if (!tried.ok)
    {
        print_problems(tried, true);
        throw action_error("these answers make no good configuration; nothing was written");
    }
    const auto wrote = write_setup(s.draft, s.file);
    std::cout << "written: " << wrote.config << " and " << wrote.token
              << (wrote.for_service ? ", readable by root and the service"
                                    : ", readable by their owner alone")
              << '\n';
    if (!wrote.kept.empty())
        std::cout << "the configuration that was there is " << wrote.kept << '\n';
    int status = exit_done;
    if (!said->has("no-connect"))
        status = try_it(s);
    std::cout << "next: systemctl enable --now dtbridge (or systemctl reload dtbridge where it runs), then "
                 "dtbridge status\n";
    return status;
}

}  // namespace dtbridge::app
