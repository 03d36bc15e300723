/// Any text as a field map: problems, or a map with which a message is still one valid line.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/format/formatter.hpp>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace dtbridge;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const auto kind : {format::kind::cef, format::kind::leef})
    {
        auto loaded = format::load_field_map_text(kind, text, "fuzz.toml");
        for (const auto& p : loaded.problems)
        {
            if (p.message.empty())
                std::abort();
        }
        if (!loaded.ok)
            continue;
        format::options o;
        o.format = kind;
        o.header = format::header_kind::rfc3164;
        format::formatter f(o, std::move(loaded.value), "bridge");
        breach b;
        if (!b.read(
                R"({"pbid":1,"time":1704100000000,"score":0.5,"model":{"name":"A::B","pid":7,"tags":["x\ny"]},)"
                R"("device":{"did":3,"ip":"10.0.0.1","hostname":"h|x=\\\n"}})"))
            std::abort();
        std::string message;
        f.message(b, {"m", "https://m.example", "", {}}, rules::decision{}, message);
        if (message.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
            std::abort();
    }
    return 0;
}
