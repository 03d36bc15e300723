/// Any text as a mapping file: problems or a policy that decides without ever failing, with a reason.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/rules/policy.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace dtbridge;
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
        breach b;
        if (!b.read(
                R"({"pbid":1,"time":1,"score":0.31,"model":{"then":{"name":"Compliance::X","uuid":"u","pid":7,"tags":["a"]}},)"
                R"("device":{"did":3,"ip":"10.0.0.1","hostname":"h.example.com"}})"))
            std::abort();
        const auto d = loaded.value.decide(b);
        if (d.reason.empty() || d.line > loaded.value.lines().size())
            std::abort();
    }
    return 0;
}
