/// Any text as a mapping file: problems or a policy that decides without ever failing, with a reason that is
/// one line of UTF-8 whatever the file and the breach hold. Written and read again it decides alike, and its
/// throttles let pass what a table of our own counts.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <dtbridge/core/breach.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/deliver/throttles.hpp>
#include <dtbridge/rules/policy.hpp>
#include <dtbridge/rules/write.hpp>

#include "fuzz/decoders.hpp"

namespace
{

using namespace dtbridge;

/// Hostile where the outside has a say: names, tags and hosts with line breaks, NUL and bytes that are no
/// UTF-8.
constexpr std::string_view elements[] = {
    R"({"pbid":1,"time":1,"score":0.31,"model":{"then":{"name":"Compliance::X","uuid":"u","pid":7,"tags":["a"]}},)"
    R"("device":{"did":3,"ip":"10.0.0.1","hostname":"h.example.com"}})",
    "{\"pbid\":2,\"time\":1,\"score\":\"0.9\",\"model\":{\"then\":{\"name\":\"A\\nB::C\xff\\u0000\",\"uuid\":"
    "\"u\\r\",\"pid\":7,"
    "\"category\":\"Critical\",\"tags\":[\"x\\ny\",\"\xc3\",\"\\u2028\"]}},\"device\":{\"did\":3,\"ip\":\"10."
    "0.0.1\","
    "\"hostname\":\"h\\n\xed\xa0\x80\"}}",
    R"({"pbid":3,"time":1,"score":0.1,"model":{"name":"N","category":"Odd\n\u2029\u0085\u009b","priority":1},)"
    R"("device":{"did":3,"hostname":"h"}})",
};

const rules::labels of_the_inventory = {{"site", "plant-7"}, {"odd", "a\nb\xff\xe2\x80\xa8"}};
const rules::labels of_the_master = {{"tenant", "acme"}, {"site", "lost"}};
const rules::known_labels known{&of_the_inventory, &of_the_master};

[[noreturn]] void broken(const std::string& what, std::string_view text)
{
    std::cerr << what << ": " << text::printable(text, 20'000) << '\n';
    std::abort();
}

void check(const rules::decision& d, const rules::policy& of)
{
    if (d.reason.empty() || !fuzz::is_one_line(d.reason))
        broken("a reason that is not one line of UTF-8", d.reason);
    if (d.line >= of.lines().size())
        broken("no line of the policy spoke", d.reason);
    if (d.severity && (*d.severity < 0 || *d.severity > 10))
        broken("a severity of " + std::to_string(*d.severity), d.reason);
}

/// What a decision says but for its words, which have the file's spelling and lines.
std::string gist(const rules::decision& d, const rules::policy& of)
{
    std::string out = of.lines()[d.line].text + (d.forward ? ": forward" : ": hold");
    out += d.always ? ", always" : "";
    out += d.severity ? ", severity " + std::to_string(*d.severity) : "";
    for (const auto& [name, value] : d.labels ? *d.labels : rules::labels())
        out.append(", ").append(name).append("=").append(value);
    return out;
}

void check_written(const rules::policy& before, const std::vector<std::unique_ptr<breach>>& breaches)
{
    const auto text = rules::write_mapping(before, {});
    const auto again = rules::load_text(text, "fuzz.toml");
    for (const auto& p : again.problems)
    {
        if (!p.warning)
            broken("what was written is not read: " + p.key + ' ' + p.message, text);
    }
    for (const auto& b : breaches)
    {
        const auto one = before.decide(*b, known), other = again.value.decide(*b, known);
        if (gist(one, before) != gist(other, again.value))
            broken(gist(one, before) + " became " + gist(other, again.value), text);
    }
}

constexpr std::int64_t far = std::int64_t{1} << 60;  // ms: no sum of these overflows

/// What the throttles of a policy have to say, counted anew: from the first forwarded of a key, limit pass
/// per per; a later one starts anew; an "always" counts and passes (product.md 5).
class counted
{
public:
    explicit counted(const rules::policy& p) : policy_(p) {}

    /// Whether the throttle i has no room for it.
    bool is_full(std::size_t i, const breach& b, const std::string& master, std::int64_t created)
    {
        const auto& w = window_of(i, b, master);
        return w.passed >= policy_.throttles()[i].limit && created < w.end;
    }

    void pass(const breach& b, const std::string& master, std::int64_t created)
    {
        for (std::size_t i = 0; i < policy_.throttles().size(); ++i)
        {
            auto& w = window_of(i, b, master);
            if (w.passed == 0 || created >= w.end)
                w = {created + std::min(policy_.throttles()[i].per_ms, far), 0};
            ++w.passed;
        }
    }

private:
    struct window
    {
        std::int64_t end = 0;
        std::size_t passed = 0;
    };

    /// The breaches differ in model and category, for which the pbid stands; their device is the same of each
    /// master.
    window& window_of(std::size_t i, const breach& b, const std::string& master)
    {
        const auto& by = policy_.throttles()[i].by;
        const auto has = [&by](std::string_view factor) {
            return std::find(by.begin(), by.end(), factor) != by.end();
        };
        std::string key = std::to_string(i);
        if (has("master") || has("device"))
            key += ' ' + master;
        if (has("model") || has("category"))
            key += ' ' + std::to_string(b.key.pbid);
        return windows_[key];
    }

    const rules::policy& policy_;
    std::map<std::string, window> windows_;
};

void check_throttles(std::shared_ptr<const rules::policy> policy,
                     const std::vector<std::unique_ptr<breach>>& breaches)
{
    constexpr int rounds = 12;
    const auto& limits = policy->throttles();
    deliver::throttles throttles;
    throttles.follow(policy);
    if (throttles.any() != !limits.empty())
        broken("throttles that are not there, or not known", policy->text());
    if (limits.empty())
        return;
    counted table(*policy);
    std::int64_t created = 1'704'100'000'000;
    for (int round = 0; round < rounds; ++round)
    {
        // Some within a window, some just before and at its end, some long after.
        const auto& t = limits[static_cast<std::size_t>(round) % limits.size()];
        const auto per = std::min(t.per_ms, far / 2 / rounds);
        created += round % 4 == 3 ? per - 1 : round % 4 == 0 ? 1 : per / 8;
        for (const std::string master : {"a", "b"})
        {
            for (const auto& b : breaches)
            {
                const auto said = policy->decide(*b, known);
                if (!said.forward)
                    continue;
                const auto by = throttles.ask(*b, master, created, said.always);
                bool full = false;
                for (std::size_t i = 0; i < limits.size(); ++i)
                    full = full || table.is_full(i, *b, master, created);
                if (by && (*by >= limits.size() || !table.is_full(*by, *b, master, created)))
                    broken("a throttle holds what it has room for", policy->text());
                if (said.always ? by.has_value() : by.has_value() != full)
                    broken(said.always ? "an always is held" : "more pass than the limit", policy->text());
                if (by)
                    throttles.held("https://a.example/#modelbreach/1");
                else
                {
                    throttles.passed();
                    table.pass(*b, master, created);
                }
            }
        }
    }
    for (const auto& s : throttles.take_summaries(created + far))
    {
        if (s.held <= 0 || s.first > s.last || s.throttle.empty())
            broken("a summary of nothing", policy->text());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const std::vector<std::unique_ptr<breach>> breaches = [] {
        std::vector<std::unique_ptr<breach>> all;
        for (const auto element : elements)
        {
            if (!all.emplace_back(std::make_unique<breach>())->read(element))
                std::abort();
        }
        return all;
    }();
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const auto* name : {"fuzz.toml", "fuzz.csv"})
    {
        auto loaded = rules::load_text(text, name);
        std::size_t errors = 0;
        for (const auto& p : loaded.problems)
        {
            errors += p.warning ? 0 : 1;
            if (p.message.empty() || p.file.empty())
                std::abort();
        }
        if (loaded.ok != (errors == 0))
            std::abort();
        for (const auto& b : breaches)
            check(loaded.value.decide(*b, known), loaded.value);
        if (!loaded.ok)
            continue;
        check_written(loaded.value, breaches);
        check_throttles(std::make_shared<const rules::policy>(std::move(loaded.value)), breaches);
    }
    return 0;
}
