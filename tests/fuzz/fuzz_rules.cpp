/// Any text as a mapping file: problems or a policy that decides without ever failing, with a reason that is
/// one line of UTF-8 whatever the file and the breach hold.

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/rules/policy.hpp>

#include "fuzz/decoders.hpp"

namespace
{

using namespace dtbridge;

/// Hostile where the outside has a say: names, tags and hosts with line breaks, NUL and bytes that are no
/// UTF-8.
constexpr std::string_view elements[] = {
    R"({"pbid":1,"time":1,"score":0.31,"model":{"then":{"name":"Compliance::X","uuid":"u","pid":7,"tags":["a"]}},)"
    R"("device":{"did":3,"ip":"10.0.0.1","hostname":"h.example.com"}})",
    "{\"pbid\":1,\"time\":1,\"score\":\"0.9\",\"model\":{\"then\":{\"name\":\"A\\nB::C\xff\\u0000\",\"uuid\":"
    "\"u\\r\",\"pid\":7,"
    "\"category\":\"Critical\",\"tags\":[\"x\\ny\",\"\xc3\",\"\\u2028\"]}},\"device\":{\"did\":3,\"ip\":\"10."
    "0.0.1\","
    "\"hostname\":\"h\\n\xed\xa0\x80\"}}",
    R"({"pbid":1,"time":1,"score":0.1,"model":{"name":"N","category":"Odd\n\u2029\u0085\u009b","priority":1},)"
    R"("device":{"did":3,"hostname":"h"}})",
};

void check(const rules::decision& d, std::size_t lines)
{
    std::string_view rest = d.reason;
    bool fine = !rest.empty() && d.line <= lines && fuzz::repaired(rest, false) == rest;
    while (fine && !rest.empty())
    {
        const auto c = fuzz::first_character(rest);
        fine = c.value >= 0x20 && !(c.value >= 0x7F && c.value <= 0x9F) && c.value != 0x2028 &&
               c.value != 0x2029;
        rest.remove_prefix(c.size);
    }
    if (fine)
        return;
    std::cerr << "a reason that is not one line of UTF-8: " << text::printable(d.reason, 2000) << '\n';
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const auto* name : {"fuzz.toml", "fuzz.csv"})
    {
        const auto loaded = rules::load_text(text, name);
        std::size_t errors = 0;
        for (const auto& p : loaded.problems)
        {
            errors += p.warning ? 0 : 1;
            if (p.message.empty() || p.file.empty())
                std::abort();
        }
        if (loaded.ok != (errors == 0))
            std::abort();
        for (const auto element : elements)
        {
            breach b;
            if (!b.read(element))
                std::abort();
            check(loaded.value.decide(b), loaded.value.lines().size());
        }
    }
    return 0;
}
