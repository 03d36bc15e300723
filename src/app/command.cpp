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

constexpr std::array<std::string_view, 5> later = {"export", "backfill", "tune", "models", "recover"};

template <std::size_t Index>
int not_built(const arguments&)
{
    throw usage_error("`" + std::string(later[Index]) + "` is not built yet in this version");
}

constexpr std::array table = {
    command{"run", "[--config F]", "runs the service", run},
    command{"check",
            "[--connect [--json]]",
            "validates the configuration and every file it names; --connect also tries masters and "
            "destinations",
            check},
    command{"test", "--destination D [--json]", "sends one test event and prints its bytes", test},
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
    command{"setup", "[options]", "writes a first configuration, by questions or by flags", setup},
    command{"forget",
            "NAME [--yes]",
            "deletes the state of a master or destination that is no longer configured",
            forget},
    command{"version", "", "prints the version and those of the libraries in use", version},
    command{"status",
            "[--json]",
            "shows masters, cursors, lag, last errors and how often policy lines spoke",
            status},
    command{"explain",
            "--master M --pbid N [--json]",
            "tells why each destination got a breach or not, and when",
            explain},
    command{"replay",
            "--destination D [--master M] [--model GLOB] [--from T] [--to T] [--pbid N] [--pace N/s] "
            "[--dry-run]",
            "sends archived breaches to a destination again",
            replay},
    command{"export", "", "not built yet", not_built<0>},
    command{"backfill", "", "not built yet", not_built<1>},
    command{"tune", "", "not built yet", not_built<2>},
    command{"models", "", "not built yet", not_built<3>},
    command{"recover", "", "not built yet", not_built<4>},
};

}  // namespace

std::span<const command> commands()
{
    return table;
}

}  // namespace dtbridge::app
