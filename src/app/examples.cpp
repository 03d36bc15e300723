#include "app/examples.hpp"

#include <array>
#include <utility>

namespace dtbridge::app
{

namespace
{

constexpr std::array<std::pair<std::string_view, std::string_view>, 20> examples = {{
    {"run", "dtbridge run --config /etc/dtbridge/dtbridge.toml"},
    {"check", "dtbridge check --connect"},
    {"status", "dtbridge status --json"},
    {"test", "dtbridge test --destination qradar"},
    {"filter", "dtbridge filter --rules mappings/stage-2.toml breaches.json"},
    {"format", "dtbridge format --format cef --master acme breaches.json"},
    {"explain", "dtbridge explain --master acme --pbid 4711"},
    {"export", "dtbridge export --master acme --from -24h > breaches.ndjson"},
    {"replay", "dtbridge replay --destination qradar --from -2h --dry-run"},
    {"backfill", "dtbridge backfill --master acme --from 2026-01-01 --to 2026-01-08"},
    {"tune", "dtbridge tune --rules mappings/stage-3.toml --against mappings/stage-2.toml --from -30d"},
    {"models", "dtbridge models --master acme --mapping"},
    {"get", "dtbridge get --master acme '/modelbreaches?pbid=4711'"},
    {"sign", "dtbridge sign --master acme '/modelbreaches?pbid=4711'"},
    {"setup",
     "dtbridge setup --batch --url https://darktrace.acme.example --public-token T --private-token-file - "
     "--profile qradar --address siem.example --stage 2 < token"},
    {"profiles", "dtbridge profiles qradar"},
    {"recover", "dtbridge recover --master acme"},
    {"archive", "dtbridge archive copy --to postgresql"},
    {"forget", "dtbridge forget old-siem"},
    {"version", "dtbridge version"},
}};

}  // namespace

std::string_view example_of(std::string_view command)
{
    for (const auto& [name, line] : examples)
    {
        if (name == command)
            return line;
    }
    return {};
}

}  // namespace dtbridge::app
