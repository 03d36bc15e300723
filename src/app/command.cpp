#include "app/command.hpp"

#include <array>

#include "app/commands.hpp"

namespace dtbridge::app
{

namespace
{

// The contract names these; until they are built they refuse, so that no script takes silence for success.
template <std::size_t Index>
int not_built(const arguments&);

constexpr std::array<std::string_view, 7> later = {
    "status", "test", "explain", "replay", "backfill", "setup", "recover"};

template <std::size_t Index>
int not_built(const arguments&)
{
    throw usage_error("`" + std::string(later[Index]) + "` is not built yet in this version");
}

constexpr std::array table = {
    command{"run", "[--config F]", "runs the service", run},
    command{"check", "[--config F]", "validates the configuration and every file it names", check},
    command{"filter",
            "--rules F [FILE]",
            "tells for each breach whether a mapping file forwards it, and why",
            filter},
    command{"format",
            "--format json|cef|leef [--fields F] [--header H] [--master NAME] [--url URL] [FILE] | "
            "--destination D [FILE]",
            "prints each breach as the message a collector would get",
            format_breaches},
    command{
        "sign", "--master M [--post BODY] TARGET", "prints a signed request as a curl command line", sign},
    command{"get", "--master M TARGET", "sends one signed GET to a master and prints the answer", get},
    command{"profiles", "[NAME]", "lists the SIEM profiles, or prints one", profiles},
    command{"forget",
            "NAME [--yes]",
            "deletes the state of a master or destination that is no longer configured",
            forget},
    command{"export",
            "--master M [--from T] [--to T] [--rules F]",
            "prints archived breaches, one JSON line each",
            export_breaches},
    command{"tune",
            "--rules A [--against B] [--master M] [--from T] [--to T] [--json] [--html F] "
            "[--show added|removed] | --rules A --suggest --alerts-per-day N [--average]",
            "tells what a mapping file would have forwarded, or proposes thresholds",
            tune_policy},
    command{"models",
            "--master M [--from T] [--to T] [--csv|--mapping]",
            "lists the models seen, to make a mapping file from",
            models},
    command{"version", "", "prints the version and those of the libraries in use", version},
    command{"status", "", "not built yet", not_built<0>},
    command{"test", "", "not built yet", not_built<1>},
    command{"explain", "", "not built yet", not_built<2>},
    command{"replay", "", "not built yet", not_built<3>},
    command{"backfill", "", "not built yet", not_built<4>},
    command{"setup", "", "not built yet", not_built<5>},
    command{"recover", "", "not built yet", not_built<6>},
};

}  // namespace

std::span<const command> commands()
{
    return table;
}

}  // namespace dtbridge::app
