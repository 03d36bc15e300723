#include "app/explanation.hpp"

#include <boost/json/array.hpp>
#include <boost/test/unit_test.hpp>

using namespace dtbridge;
using app::explain_breach;
using app::explanation_sources;

namespace
{

constexpr std::int64_t t0 = 1'700'000'000'000;
const char* const body =
    R"({"pbid":7,"creationTime":1700000000000,"score":0.5,"model":{"name":"Device::Test"},"device":{"did":1}})";

std::shared_ptr<const rules::policy> policy_of(const std::string& text)
{
    auto loaded = rules::load_text(text, "today.toml");
    BOOST_REQUIRE(loaded.ok);
    return std::make_shared<const rules::policy>(std::move(loaded.value));
}

/// A breach of acme, and one destination siem that gets it.
struct scene
{
    config::configuration c;
    app::explained_breach b;
    explanation_sources from;
    std::string kept = "[forward]\nmin_score = 0.4\n";

    scene()
    {
        c.masters.emplace_back();
        c.masters[0].name = "acme";
        c.masters[0].url = "https://dt.example";
        config::destination d;
        d.options.name = "siem";
        d.options.masters = {"acme"};
        d.options.start.reset();
        d.policy = policy_of("[forward]\nmin_score = 0.9\n");
        c.destinations.push_back(d);
        b.history.seq = 12;
        b.history.key = {7, t0};
        b.history.archived = t0 + 60'000;
        b.body = body;
        from.config = &c;
        from.master = "acme";
        from.policy_text = [this](const std::string& hash) {
            return hash == "hash-of-then" ? std::optional<std::string>(kept) : std::nullopt;
        };
    }
    breach_history::fate& fate(std::int64_t cursor, const std::string& name = "siem")
    {
        auto& f = b.history.fates.emplace_back();
        f.destination = name;
        f.cursor = cursor;
        return f;
    }
    confirmed_record batch(std::int64_t sent, std::int64_t held_back) const
    {
        confirmed_record r;
        r.batch.first_seq = 10;
        r.batch.last_seq = 15;
        r.batch.sent = sent;
        r.batch.held_back = held_back;
        r.batch.policy_hash = "hash-of-then";
        r.policy_name = "then.toml";
        r.at = t0 + 120'000;
        return r;
    }
    /// outcome: reason
    std::string said(std::size_t which = 0) const
    {
        const auto o = explain_breach(b, from);
        const auto& d = o.at("destinations").as_array().at(which).as_object();
        return std::string(d.at("outcome").as_string()) + ": " + std::string(d.at("reason").as_string());
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(explanations)

BOOST_AUTO_TEST_CASE(by_the_policy_that_was_in_force_and_not_by_todays)
{
    scene s;
    s.fate(20).batch = s.batch(3, 3);
    BOOST_TEST(s.said() == "forwarded: score 0.5 is at least 0.4 of [forward] (then.toml:2)");
    s.kept = "[forward]\nmin_score = 0.6\n";
    BOOST_TEST(s.said() == "held_back: score 0.5 is under 0.6 of [forward] (then.toml:2)");
    s.c.destinations[0].options.format.mark_held_back = true;
    BOOST_TEST(s.said().starts_with("context: score 0.5"));
    // Without rules then.
    s.b.history.fates[0].batch->batch.policy_hash.clear();
    BOOST_TEST(s.said() == "forwarded: no rules: everything is forwarded");
    s.b.history.fates[0].batch->batch.policy_hash = "unknown";
    BOOST_TEST(s.said() == "unknown: the text of the policy it was decided by is not kept any more");
}

BOOST_AUTO_TEST_CASE(what_contradicts_its_batch_is_not_claimed)
{
    scene s;
    s.fate(20).batch = s.batch(0, 6);
    BOOST_TEST(s.said().starts_with("unknown: the policy would forward it"));
}

BOOST_AUTO_TEST_CASE(withheld_ones_by_their_row)
{
    scene s;
    auto& f = s.fate(20);
    f.batch = s.batch(1, 0);
    f.withheld =
        withheld_breach{12, withheld_breach::cause::throttled, "throttle by model: 5 per 1h (r.toml:3)"};
    BOOST_TEST(s.said() == "throttled: throttle by model: 5 per 1h (r.toml:3)");
    f.withheld->why = withheld_breach::cause::undeliverable;
    f.withheld->reason = "too long";
    BOOST_TEST(s.said() == "undeliverable: too long");
}

BOOST_AUTO_TEST_CASE(waiting_ones_by_the_policy_in_force)
{
    scene s;
    s.fate(11);
    BOOST_TEST(
        s.said() ==
        "waiting: not decided yet: the cursor is at 11 and this is 12; by the policy in force it will be "
        "held back: score 0.5 is under 0.9 of [forward] (today.toml:2)");
    s.c.destinations[0].policy = policy_of("[[throttle]]\nby = [\"model\"]\nlimit = 1\nper = \"1h\"\n");
    BOOST_TEST(s.said().ends_with(
        "will be forwarded: no line of today.toml holds it back, unless a throttle holds it"));
    s.b.history.fates.clear();
    BOOST_TEST(s.said().starts_with("waiting: not decided yet; by the policy"));
}

BOOST_AUTO_TEST_CASE(before_start)
{
    scene s;
    s.fate(20).batch = s.batch(3, 2);
    s.c.destinations[0].options.start = std::chrono::milliseconds(1000);
    s.from.first_ran = [](const std::string&) { return std::optional<std::int64_t>(t0 + 1000); };
    BOOST_TEST(s.said().starts_with("forwarded"));
    s.from.first_ran = [](const std::string&) { return std::optional<std::int64_t>(t0 + 1001); };
    BOOST_TEST(s.said() ==
               "passed_over: created before 2023-11-14T22:13:20.001Z, where `start` lets it begin");
    s.b.history.fates[0].batch.reset();
    s.b.history.fates[0].cursor = 3;
    BOOST_TEST(s.said().find("it will be passed over") != std::string::npos);
    // Nothing of its batch was decided at all.
    s.c.destinations[0].options.start.reset();
    s.b.history.fates[0].batch = s.batch(0, 0);
    BOOST_TEST(s.said().starts_with("passed_over: "));
}

BOOST_AUTO_TEST_CASE(start_that_was_changed_later_unsays_nothing)
{
    scene s;
    s.fate(20).batch = s.batch(3, 3);
    auto& options = s.c.destinations[0].options;
    options.start = std::chrono::milliseconds(0);
    s.from.first_ran = [](const std::string&) { return std::optional<std::int64_t>(t0 + 1); };
    BOOST_TEST(s.said().starts_with("forwarded: "));
    s.b.history.fates[0].batch->batch.sent = 1;
    BOOST_TEST(s.said().starts_with("passed_over: "));
    s.b.history.fates[0].batch->batch.undeliverable = 1;
    s.b.history.fates[0].batch->batch.throttled = 1;
    BOOST_TEST(s.said().starts_with("forwarded: "));
    // What is marked was sent too: three of six are not all.
    s.b.history.fates[0].batch = s.batch(3, 3);
    options.format.mark_held_back = true;
    BOOST_TEST(s.said().starts_with("passed_over: "));
    s.b.history.fates[0].batch = s.batch(6, 3);
    BOOST_TEST(s.said().starts_with("forwarded: "));
}

BOOST_AUTO_TEST_CASE(what_retention_dropped)
{
    scene s;
    s.b.history.dropped = true;
    s.b.body = {};
    auto& f = s.fate(20);
    f.lost_at = t0;
    BOOST_TEST(s.said().starts_with("lost: retention dropped it before it was delivered"));
    f.batch = s.batch(3, 0);  // that went on behind the gap
    BOOST_TEST(s.said().starts_with("lost: "));
    f.batch.reset();
    f.lost_at = 0;
    BOOST_TEST(s.said().starts_with("unknown: retention dropped"));
    f.batch = s.batch(3, 0);
    BOOST_TEST(s.said().starts_with("unknown: it was decided, but retention dropped the breach"));
    const auto text = app::explanation_text(explain_breach(s.b, s.from));
    BOOST_TEST(text.find("as 12; retention has dropped it since") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(who_gets_nothing_and_who_is_no_longer_there)
{
    scene s;
    s.fate(20, "gone").batch = s.batch(3, 3);
    s.c.destinations[0].options.masters = {"beta"};
    BOOST_TEST(s.said(0) == "not_served: this destination gets no breaches of master acme");
    BOOST_TEST(s.said(1).starts_with("forwarded: "));
    s.b.history.archive_only = true;
    BOOST_TEST(s.said(0).starts_with("archive_only: "));
}

BOOST_AUTO_TEST_CASE(in_words)
{
    scene s;
    s.fate(20).batch = s.batch(3, 3);
    s.b.history.late = true;
    s.b.changes = {{t0 + 5000, true, 2}};
    const auto text = app::explanation_text(explain_breach(s.b, s.from));
    BOOST_TEST(
        text ==
        "pbid 7, created 2023-11-14T22:13:20.000Z: Device/Test, score 0.5\n"
        "  archived 2023-11-14T22:14:20.000Z as 12, late: polling had not seen it\n"
        "  https://dt.example/#modelbreach/7\n"
        "  2023-11-14T22:13:25.000Z: acknowledged, comments 2\n"
        "  siem  forwarded, confirmed 2023-11-14T22:15:20.000Z: score 0.5 is at least 0.4 of [forward] "
        "(then.toml:2)\n"
        "        by then.toml (SHA-256 hash-of-then...)\n");
}

BOOST_AUTO_TEST_SUITE_END()
