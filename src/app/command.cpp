#include "app/command.hpp"

#include <array>

#include "app/commands.hpp"

namespace dtbridge::app
{

namespace
{

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
    command{"backfill",
            "--master M --from T --to T [--deliver]",
            "asks a master again for what was created in a span",
            backfill},
    command{"profiles", "[NAME]", "lists the SIEM profiles, or prints one", profiles},
    command{"setup", "[options]", "writes a first configuration, by questions or by flags", setup},
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
    command{"recover",
            "--master M | --service [--state-dir D]",
            "saves what is readable of a master's damaged archive into a new one",
            recover},
    command{"archive",
            "copy --to postgresql|sqlite [--master M]",
            "copies archives between SQLite and PostgreSQL",
            archive_command},
};

}  // namespace

std::span<const command> commands()
{
    return table;
}

}  // namespace dtbridge::app
