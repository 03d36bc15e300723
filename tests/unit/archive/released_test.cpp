/// Files of schemas that were released, kept in tests/data: every later version opens them and finds what was
/// in them.

#include <array>
#include <cstdlib>

#include "archive/schema.hpp"
#include "fixture.hpp"

using namespace dtbridge;
using test::archives;

namespace
{

constexpr std::int64_t made = 1'700'000'060'000;  ///< what is in the files was noted at that time
constexpr const char* policy = "[forward]\nmin_score = 0.4\n";
constexpr std::array archive_versions = {1, 4};
constexpr std::array service_versions = {1, 2};

std::string dump_of(const std::string& what, int version)
{
    return what + "-v" + std::to_string(version) + ".sql";
}

/// As a master sent it. From schema 4 on the kept breaches have bytes that are easily lost.
std::string body_of(std::int64_t n, int version)
{
    const auto id = std::to_string(n);
    const std::string more = version < 4 ? "" : ",\"note\" : \"\\u00e9 \xc3\xa9 \xff \\\"'\t\r\n\"";
    return "{\"pbid\":" + id + ",\"model\":{\"name\":\"Device::New User Agent\"},\"score\":0." + id + more +
           "}";
}

archive_block block(std::int64_t from, std::int64_t to)
{
    std::vector<test::piece> pieces;
    for (auto n = from; n <= to; ++n)
        pieces.push_back({{n, 1000 * n}, body_of(n, static_cast<int>(archive_schema().size()))});
    return test::block_of(pieces);
}

throttle_window window()
{
    throttle_window w;
    w.throttle = "model|5|3600000";
    w.key = "Device::New User Agent";
    w.start = 7000;
    w.ends = 3'607'000;
    w.passed = 5;
    w.held = 3;
    w.summed_up = 0;
    w.first = 7000;
    w.last = 9000;
    w.last_model = "Device::New User Agent";
    w.last_device = "pc-1";
    w.last_url = "https://dt.example/#modelbreach/9";
    return w;
}

void fill(archives& a, const std::string& state_dir)
{
    auto acme = a.open();
    a.must(acme->ensure_cursor("qradar", {"", 0, 5000}));
    a.must(acme->ensure_cursor("splunk", {"", 0, 6000}));
    a.must(acme->add(block(1, 5)));
    a.clock = made;
    retention_order order;
    order.older_than = a.clock;
    a.must(acme->prune(order));
    auto second = block(6, 10);
    second.position = poll_position{1'700'000'100'000, true};
    second.window.emplace();
    second.window->shown = 5;
    a.must(acme->add(std::move(second)));
    auto quiet = block(11, 12);
    quiet.archive_only = true;
    a.must(acme->add(std::move(quiet)));
    confirmed_batch all;
    all.first_seq = 6;
    all.last_seq = 8;
    all.sent = 3;
    all.policy_hash = a.must(acme->remember(policy, "acme.toml"));
    a.must(acme->confirm("qradar", all));
    confirmed_batch some;
    some.first_seq = 6;
    some.last_seq = 9;
    some.sent = 1;
    some.throttled = 2;
    some.undeliverable = 1;
    some.withheld = {{7, withheld_breach::cause::throttled, "throttle by model"},
                     {8, withheld_breach::cause::undeliverable, "does not fit max_message"},
                     {9, withheld_breach::cause::throttled, "throttle by model"}};
    some.windows = {window()};
    a.must(acme->confirm("splunk", some));
    auto told = window();
    told.summed_up = 2;
    a.must(acme->note_summary("splunk", told));
    a.must(acme->note_states({shown_state{{6, 6000}, true, 1, {}}}));
    a.must(acme->note_differences({{difference::kind::gone, {9, 9000}, made}}));
    a.must(acme->set_aside("[1]", "not an object"));
    a.must(acme->close());
    auto service = service_store::open(state_dir);
    BOOST_REQUIRE(service);
    (*service)->first_ran("qradar", "", 5000).value();
    (*service)->save_policy_lines("qradar", {{"r.toml\nscore", 5, 90, {{10, 4}, {11, 1}}}}, true, 0).value();
}

std::int64_t integrity_problems(const std::string& path)
{
    db::connection file(path, db::open_options{});
    return file.value("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'");
}

std::int64_t version_of(const std::string& path)
{
    db::connection file(path, db::open_options{});
    return file.value("PRAGMA user_version");
}

}  // namespace

BOOST_AUTO_TEST_SUITE(released)

/// tests/data/keep_schema.py runs this and keeps the files as SQL.
BOOST_AUTO_TEST_CASE(make, *boost::unit_test::disabled())
{
    const char* folder = std::getenv("DTBRIDGE_FIXTURE");
    BOOST_REQUIRE(folder);
    archives a;
    fill(a, folder);
    std::filesystem::copy_file(a.file(), std::string(folder) + "/archive.db");
}

BOOST_AUTO_TEST_CASE(there_is_a_file_of_the_present_schemas)
{
    BOOST_TEST(archive_schema().size() == static_cast<std::size_t>(archive_versions.back()));
    BOOST_TEST(service_schema().size() == static_cast<std::size_t>(service_versions.back()));
}

BOOST_DATA_TEST_CASE(an_archive_is_brought_forward_whole,
                     boost::unit_test::data::make(archive_versions),
                     version)
{
    archives a;
    test::make_file(a.file(), dump_of("archive", version));
    BOOST_TEST(version_of(a.file()) == version);
    auto acme = a.open();
    BOOST_TEST(acme->last_seq() == 12);
    auto facts = a.must(acme->facts());
    BOOST_TEST(facts.breaches == 7);
    BOOST_TEST(facts.oldest_seq == 6);
    auto all = a.must(acme->scan(scan_order{}));
    BOOST_REQUIRE(all.breaches.size() == 7u);
    for (std::size_t i = 0; i < all.breaches.size(); ++i)
    {
        const auto n = static_cast<std::int64_t>(i) + 6;
        BOOST_TEST(all.breaches[i].seq == n);
        BOOST_TEST((all.breaches[i].key == breach_key{n, 1000 * n}));
        BOOST_TEST(all.breaches[i].body == body_of(n, version));
        BOOST_TEST(all.breaches[i].archived == made);
    }
    BOOST_TEST(a.must(acme->read(0, 100, 1 << 20)).breaches.size() == 5u);  // two are for the archive alone
    BOOST_TEST(a.must(acme->position())->position == 1'700'000'100'000);
    BOOST_TEST(a.must(acme->position())->by_activity);
    auto cursors = a.must(acme->cursors());
    BOOST_REQUIRE(!cursors.empty());
    BOOST_TEST(cursors[0].destination == "qradar");
    BOOST_TEST(cursors[0].seq == 8);
    BOOST_TEST(cursors[0].lost == 5);
    auto batch = a.must(acme->confirmed(7));
    BOOST_REQUIRE(!batch.empty());
    BOOST_TEST(batch[0].batch.sent == 3);
    BOOST_TEST(a.must(acme->recall(batch[0].batch.policy_hash)).value() == policy);
    BOOST_TEST(a.must(acme->changes(breach_key{6, 6000})).size() == 1u);
    BOOST_TEST(a.must(acme->windows(10)).size() == 1u);
    BOOST_TEST(!a.must(acme->set_aside("[1]", "not an object")));
    std::vector<breach_key> keys = {{1, 1000}, {13, 13000}};  // the first was archived, and is dropped
    BOOST_TEST(a.must(acme->missing(keys)).size() == 1u);
    // And it can be written to.
    a.must(acme->add(block(13, 14)));
    BOOST_TEST(a.must(acme->note_differences({difference{}})).size() == 1u);
    a.must(acme->close());
    BOOST_TEST(version_of(a.file()) == static_cast<std::int64_t>(archive_schema().size()));
    BOOST_TEST(integrity_problems(a.file()) == 0);
}

BOOST_AUTO_TEST_CASE(what_came_with_later_schemas_is_kept)
{
    archives a;
    test::make_file(a.file(), dump_of("archive", 4));
    auto acme = a.open();
    auto cursors = a.must(acme->cursors());
    BOOST_REQUIRE(cursors.size() == 2u);
    BOOST_TEST(cursors[0].began == 5000);
    BOOST_TEST(cursors[1].destination == "splunk");
    BOOST_TEST(cursors[1].seq == 9);
    BOOST_TEST(cursors[1].lost == 5);
    BOOST_TEST(cursors[1].began == 6000);
    auto windows = a.must(acme->throttle_windows("splunk"));
    BOOST_REQUIRE(windows.size() == 1u);
    const auto& w = windows[0];
    const auto expected = window();
    BOOST_TEST(w.throttle == expected.throttle);
    BOOST_TEST(w.key == expected.key);
    BOOST_TEST(w.start == expected.start);
    BOOST_TEST(w.ends == expected.ends);
    BOOST_TEST(w.passed == 5);
    BOOST_TEST(w.held == 3);
    BOOST_TEST(w.summed_up == 2);
    BOOST_TEST(w.first == 7000);
    BOOST_TEST(w.last == 9000);
    BOOST_TEST(w.last_model == expected.last_model);
    BOOST_TEST(w.last_device == "pc-1");
    BOOST_TEST(w.last_url == expected.last_url);
    auto withheld = a.must(acme->withheld(1, 12));
    BOOST_REQUIRE(withheld.size() == 3u);
    BOOST_TEST(withheld[0].first == "splunk");
    BOOST_TEST(withheld[0].second.seq == 7);
    BOOST_TEST(withheld[0].second.reason == "throttle by model");
    BOOST_TEST((withheld[1].second.why == withheld_breach::cause::undeliverable));
    BOOST_TEST(withheld[1].second.reason == "does not fit max_message");
    BOOST_TEST(a.must(acme->confirmed(7))[0].policy_name == "acme.toml");
    auto differences = a.must(acme->differences(10));
    BOOST_REQUIRE(differences.size() == 1u);
    BOOST_TEST((differences[0].what == difference::kind::gone));
    BOOST_TEST((differences[0].key == breach_key{9, 9000}));
    a.must(acme->close());
}

BOOST_DATA_TEST_CASE(a_service_file_is_brought_forward_whole,
                     boost::unit_test::data::make(service_versions),
                     version)
{
    test::temp_dir dir;
    const auto path = dir / "service.db";
    test::make_file(path, dump_of("service", version));
    BOOST_TEST(version_of(path) == version);
    {
        auto s = service_store::open(dir.path());
        BOOST_REQUIRE_MESSAGE(s, (s ? "" : s.error().detail));
        BOOST_TEST((*s)->first_ran("qradar", "", 9000).value() == 5000);
        const auto lines = (*s)->policy_lines("qradar").value();
        BOOST_REQUIRE(lines.size() == (version < 2 ? 0u : 1u));
        if (version >= 2)
        {
            BOOST_TEST(lines[0].line == "r.toml\nscore");
            BOOST_TEST(lines[0].since == 5);
            BOOST_TEST(lines[0].last_spoke == 90);
            BOOST_REQUIRE(lines[0].hours.size() == 2u);
            BOOST_TEST(lines[0].hours[0].first == 10);
            BOOST_TEST(lines[0].hours[0].second == 4);
        }
        BOOST_TEST((*s)->save_policy_lines("qradar", {{"r.toml\nnew", 7, 0, {}}}, false, 0).value());
    }
    BOOST_TEST(version_of(path) == static_cast<std::int64_t>(service_schema().size()));
    BOOST_TEST(integrity_problems(path) == 0);
}

BOOST_AUTO_TEST_CASE(a_service_file_of_a_newer_version_is_refused_and_left_alone)
{
    test::temp_dir dir;
    const auto path = dir / "service.db";
    test::make_file(path, dump_of("service", service_versions.back()));
    {
        db::connection file(path, db::open_options{});
        file.exec("PRAGMA user_version=99");
    }
    const auto refused = service_store::open(dir.path());
    BOOST_REQUIRE(!refused);
    BOOST_TEST((refused.error().code == errc::archive_newer));
    BOOST_TEST(refused.error().detail.find(path) != std::string::npos);
    BOOST_TEST(refused.error().detail.find("newer dtbridge") != std::string::npos);
    BOOST_TEST(refused.error().detail.find("schema 99") != std::string::npos);
    BOOST_TEST(version_of(path) == 99);
}

BOOST_AUTO_TEST_SUITE_END()
