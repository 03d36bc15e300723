#include <dtbridge/deliver/throttles.hpp>

#include <boost/test/unit_test.hpp>

#include <random>

using namespace dtbridge;
using deliver::throttles;

BOOST_AUTO_TEST_SUITE(throttling)

namespace
{

constexpr std::int64_t t0 = 1'700'000'000'000;
constexpr std::int64_t minute = 60'000;
constexpr std::int64_t hour = 60 * minute;

std::shared_ptr<const rules::policy> policy_of(const std::string& text)
{
    auto loaded = rules::load_text(text, "r.toml");
    BOOST_REQUIRE(loaded.ok);
    return std::make_shared<const rules::policy>(std::move(loaded.value));
}

std::string throttle(const std::string& by, int limit, const std::string& per, const std::string& more = "")
{
    return "[[throttle]]\nby = [" + by + "]\nlimit = " + std::to_string(limit) + "\nper = \"" + per + "\"\n" +
           more;
}

/// Asks as a delivery does. Answers whether the breach passed.
struct asker
{
    throttles of;
    breach b;
    std::optional<std::size_t> by;

    explicit asker(const std::string& rules, std::size_t most = 16384) : of(most)
    {
        of.follow(policy_of(rules));
    }
    bool operator()(std::int64_t created,
                    const std::string& model = "Device::Test",
                    int did = 1,
                    const std::string& master = "acme",
                    bool always = false,
                    const std::string& category = "Suspicious")
    {
        const auto body = "{\"pbid\":7,\"model\":{\"name\":\"" + model + "\",\"category\":\"" + category +
                          "\"},\"device\":{\"did\":" + std::to_string(did) + ",\"hostname\":\"pc-" +
                          std::to_string(did) + "\"}}";
        BOOST_REQUIRE(b.read(body).has_value());
        by = of.ask(b, master, created, always);
        if (by)
            of.held("https://dt.example/#modelbreach/7");
        else
            of.passed();
        return !by;
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(from_the_first_of_a_key_limit_pass_per_span_and_a_later_one_starts_anew)
{
    asker a(throttle("\"model\"", 2, "1h"));
    BOOST_TEST(a(t0));
    BOOST_TEST(a(t0 + minute));
    BOOST_TEST(!a(t0 + 2 * minute));
    BOOST_TEST(!a(t0 + hour - 1));
    BOOST_TEST(a(t0 + hour - 1, "Other::Model"));  // a key of its own
    BOOST_TEST(a(t0 + hour));                      // the span is over: this one starts anew
    BOOST_TEST(a(t0 + hour + 1));
    BOOST_TEST(!a(t0 + 2 * hour - 1));
    BOOST_TEST(!a(t0));  // late: it does not start anything
    BOOST_TEST(a(t0 + 2 * hour));
}

BOOST_AUTO_TEST_CASE(a_breach_counts_at_the_latest_when_it_was_archived)
{
    breach_key key;
    key.created = t0;
    BOOST_TEST(deliver::counts_at(key, t0 + minute) == t0);
    key.created = t0 + 24 * 365 * hour;  // by a master whose clock is ahead
    BOOST_TEST(deliver::counts_at(key, t0) == t0);
    key.created = 0;  // it has no time of its own
    BOOST_TEST(deliver::counts_at(key, t0) == t0);
}

BOOST_AUTO_TEST_CASE(an_always_counts_and_passes)
{
    asker a(throttle("\"model\"", 2, "1h"));
    BOOST_TEST(a(t0, "Device::Test", 1, "acme", true));
    BOOST_TEST(a(t0, "Device::Test", 1, "acme", true));
    BOOST_TEST(!a(t0));
    BOOST_TEST(a(t0, "Device::Test", 1, "acme", true));
}

BOOST_AUTO_TEST_CASE(all_throttles_must_pass_and_what_one_holds_counts_in_none)
{
    asker a(throttle("\"model\"", 3, "1h") + throttle("\"device\"", 1, "1h"));
    BOOST_TEST(a(t0, "Device::Test", 1));
    BOOST_TEST(!a(t0, "Device::Test", 1));
    BOOST_TEST(*a.by == 1u);
    BOOST_TEST(!a(t0, "Device::Test", 1));
    // The two that were held by the second throttle took nothing from the first.
    BOOST_TEST(a(t0, "Device::Test", 2));
    BOOST_TEST(a(t0, "Device::Test", 3));
    BOOST_TEST(!a(t0, "Device::Test", 4));
    BOOST_TEST(*a.by == 0u);
    BOOST_TEST(a(t0, "Other::Model", 4));
}

BOOST_AUTO_TEST_CASE(factors_make_keys)
{
    asker by_category(throttle("\"category\"", 1, "1h"));
    BOOST_TEST(by_category(t0, "A", 1, "acme", false, "Critical"));
    BOOST_TEST(!by_category(t0, "B", 2, "beta", false, "Critical"));
    BOOST_TEST(by_category(t0, "B", 2, "beta", false, "Suspicious"));
    asker by_master(throttle("\"master\"", 1, "1h"));
    BOOST_TEST(by_master(t0, "A", 1, "acme"));
    BOOST_TEST(!by_master(t0, "B", 2, "acme"));
    BOOST_TEST(by_master(t0, "A", 1, "beta"));
    // The same number is another device on another master.
    asker by_device(throttle("\"device\"", 1, "1h"));
    BOOST_TEST(by_device(t0, "A", 1, "acme"));
    BOOST_TEST(!by_device(t0, "B", 1, "acme"));
    BOOST_TEST(by_device(t0, "A", 1, "beta"));
    // A model is the same on every master, however its name is spelt.
    asker by_model(throttle("\"model\"", 1, "1h"));
    BOOST_TEST(by_model(t0, "A::B", 1, "acme"));
    BOOST_TEST(!by_model(t0, "A/B", 1, "beta"));
}

BOOST_AUTO_TEST_CASE(a_script_that_knows_only_the_contract_decides_the_same)
{
    asker a(throttle("\"model\", \"device\"", 3, "10m"));
    std::map<std::pair<int, int>, std::pair<std::int64_t, int>> windows;
    std::minstd_rand random(4711);
    int passed = 0;
    std::int64_t at = t0;
    for (int i = 0; i < 20000; ++i)
    {
        at += static_cast<std::int64_t>(random() % 3000) - 300;
        const int model = static_cast<int>(random() % 7), did = static_cast<int>(random() % 5);
        auto& [start, count] = windows.try_emplace({model, did}, at, 0).first->second;
        if (at >= start + 10 * minute)
        {
            start = at;
            count = 0;
        }
        const bool expected = count < 3;
        count += expected;
        passed += expected;
        BOOST_TEST_REQUIRE(a(at, "M" + std::to_string(model), did) == expected);
    }
    BOOST_TEST(passed > 3000);
    BOOST_TEST(passed < 17000);
}

BOOST_AUTO_TEST_CASE(a_restart_goes_on_where_the_saved_rows_are)
{
    const auto rules = throttle("\"model\"", 3, "1h") + throttle("\"master\", \"model\"", 2, "1h");
    asker a(rules), b(rules);
    BOOST_TEST(a(t0, "M", 1, "acme"));
    BOOST_TEST(a(t0 + 1, "M", 1, "beta"));
    BOOST_TEST(a(t0 + 2, "M", 1, "acme"));
    BOOST_TEST(!a(t0 + 3, "M", 1, "acme"));
    const auto acme = a.of.take_changes("acme");
    const auto beta = a.of.take_changes("beta");
    BOOST_TEST(acme.size() == 2u);
    BOOST_TEST(a.of.take_changes("acme").empty());
    b.of.restore("beta", beta);
    b.of.restore("acme", acme);
    BOOST_TEST(!b(t0 + 4, "M", 1, "gamma"));  // three of all masters passed
    BOOST_TEST(b(t0 + 4, "N", 1, "acme"));
    auto told = b.of.take_summaries(t0 + 2 * hour);
    BOOST_REQUIRE(told.size() == 1u);
    BOOST_TEST(told[0].held == 2);
    BOOST_TEST(told[0].master == "");
    BOOST_TEST(told[0].windows.size() == 2u);
    // Only one archive was saved: what the other master's breaches did is done again.
    asker c(rules);
    c.of.restore("acme", acme);
    BOOST_TEST(c(t0 + 1, "M", 1, "beta"));
    BOOST_TEST(!c(t0 + 4, "M", 1, "gamma"));
    // A master that leaves takes its part along.
    c.of.forget("beta");
    BOOST_TEST(c(t0 + 4, "M", 1, "gamma"));
}

BOOST_AUTO_TEST_CASE(rows_that_were_not_saved_are_given_again)
{
    asker a(throttle("\"model\"", 1, "1h"));
    a(t0);
    const auto rows = a.of.take_changes("acme");
    BOOST_TEST(rows.size() == 1u);
    a.of.put_back(rows);
    a(t0 + 1);
    const auto again = a.of.take_changes("acme");
    BOOST_REQUIRE(again.size() == 1u);
    BOOST_TEST(again[0].passed == 1);
    BOOST_TEST(again[0].held == 1);
}

BOOST_AUTO_TEST_CASE(summaries_say_how_many_who_when_and_where)
{
    asker a(throttle("\"model\"", 1, "1h"));
    a(t0, "Device::Test", 1);
    BOOST_TEST(!a.of.next_end());
    a(t0 + minute, "Device::Test", 2);
    a(t0 + 3 * minute, "Device::Test", 3);
    a(t0 + 2 * minute, "Device::Test", 4);
    BOOST_TEST(*a.of.next_end() == t0 + hour + 15'000);
    BOOST_TEST(a.of.take_summaries(t0 + hour).empty());  // the last of the window may still arrive
    const auto told = a.of.take_summaries(t0 + hour + 15'000);
    BOOST_REQUIRE(told.size() == 1u);
    BOOST_TEST(told[0].held == 3);
    BOOST_TEST(told[0].model == "Device/Test");
    BOOST_TEST(told[0].of_key_model);
    BOOST_TEST(!told[0].of_key_device);
    BOOST_TEST(told[0].device == "pc-4");
    BOOST_TEST(told[0].first == t0 + minute);
    BOOST_TEST(told[0].last == t0 + 3 * minute);
    BOOST_TEST(told[0].last_url == "https://dt.example/#modelbreach/7");
    BOOST_TEST(told[0].master == "acme");
    BOOST_TEST(told[0].throttle == "throttle by model: 1 per 1h (r.toml:1)");
    BOOST_TEST(a.of.take_summaries(t0 + 5 * hour).empty());  // once
    // One that comes later still belongs to the window, and is told of alone.
    BOOST_TEST(!a(t0 + 5 * minute));
    const auto late = a.of.take_summaries(t0 + 5 * hour);
    BOOST_REQUIRE(late.size() == 1u);
    BOOST_TEST(late[0].held == 1);
    BOOST_TEST(late[0].first == t0 + 5 * minute);
    // A window that another replaces is told of at once.
    a(t0 + 6 * minute);
    a(t0 + hour);
    const auto replaced = a.of.take_summaries(t0);
    BOOST_REQUIRE(replaced.size() == 1u);
    BOOST_TEST(replaced[0].held == 1);
}

BOOST_AUTO_TEST_CASE(no_summary_where_none_is_wanted)
{
    asker a(throttle("\"model\"", 1, "1h", "summary = false\n"));
    a(t0);
    BOOST_TEST(!a(t0));
    BOOST_TEST(!a.of.next_end());
    a(t0 + hour);
    BOOST_TEST(a.of.take_summaries(t0 + 9 * hour).empty());
}

BOOST_AUTO_TEST_CASE(the_oldest_window_makes_room)
{
    asker a(throttle("\"device\"", 1, "1h"), 10);
    BOOST_TEST(a(t0, "M", 0));
    BOOST_TEST(!a(t0, "M", 0));
    for (int did = 1; did <= 10; ++did)
        BOOST_TEST(a(t0 + did, "M", did));
    BOOST_TEST(a.of.keys() == 10u);
    const auto told = a.of.take_summaries(t0);
    BOOST_REQUIRE(told.size() == 1u);  // what it held is not forgotten with it
    BOOST_TEST(told[0].device == "pc-0");
    BOOST_TEST(!a(t0 + 20, "M", 10));
    BOOST_TEST(a(t0 + 20, "M", 0));
}

BOOST_AUTO_TEST_CASE(a_reload_keeps_what_did_not_change)
{
    asker a(throttle("\"model\"", 1, "1h") + throttle("\"device\", \"model\"", 1, "1h"));
    a(t0);
    BOOST_TEST(!a(t0));
    // Other lines in front, `by` in another order, the first throttle's limit changed.
    a.of.follow(policy_of("[forward]\nmin_score = 0.1\n" + throttle("\"model\", \"device\"", 1, "60m") +
                          throttle("\"model\"", 2, "1h")));
    const auto told = a.of.take_summaries(0);  // what the one that went had held
    BOOST_REQUIRE(told.size() == 1u);
    BOOST_TEST(told[0].throttle == "throttle by model: 1 per 1h (r.toml:1)");
    BOOST_TEST(!a(t0 + 1));
    BOOST_TEST(*a.by == 0u);
    BOOST_TEST(a(t0 + 1, "Device::Test", 2));
    BOOST_TEST(a(t0 + 1, "Device::Test", 3));  // two of the model under the new limit
    BOOST_TEST(!a(t0 + 1, "Device::Test", 4));
    BOOST_TEST(*a.by == 1u);
    a.of.follow(policy_of(""));
    BOOST_TEST(!a.of.any());
    BOOST_TEST(a.of.keys() == 0u);
}

BOOST_AUTO_TEST_CASE(hostile_values_make_bounded_keys)
{
    asker a(throttle("\"model\"", 1, "1h"));
    const std::string same(5000, 'x');
    BOOST_TEST(a(t0, same + "1"));
    BOOST_TEST(a(t0, same + "2"));
    BOOST_TEST(!a(t0, same + "2"));
    for (const auto& w : a.of.take_changes("acme"))
        BOOST_TEST(w.key.size() < 300u);
    // No model and no device at all are keys like others.
    breach b;
    BOOST_REQUIRE(b.read("{\"pbid\":1}").has_value());
    BOOST_TEST(!a.of.ask(b, "acme", t0, false));
    a.of.passed();
    BOOST_TEST(a.of.ask(b, "acme", t0, false).has_value());
    a.of.held("");
    // Times at the ends of int64 overflow nothing.
    BOOST_TEST(a(std::numeric_limits<std::int64_t>::max() - 5, "M"));
    BOOST_TEST(!a(std::numeric_limits<std::int64_t>::max() - 4, "M"));
}

BOOST_AUTO_TEST_SUITE_END()
