#include "stage.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <boost/test/unit_test.hpp>

#include <dtbridge/async/task_group.hpp>

#include "support/run_coro.hpp"

namespace dtbridge::test
{

using namespace std::chrono_literals;

namespace
{

archive_block block_of(
    std::int64_t first, std::int64_t count, const char* score, std::size_t padding, std::int64_t created)
{
    archive_block b;
    std::vector<std::pair<std::size_t, std::size_t>> parts;
    for (auto pbid = first; pbid < first + count; ++pbid)
    {
        const auto at = b.bytes.size();
        b.bytes += "{\"pbid\":" + std::to_string(pbid) + ",\"time\":" + std::to_string(created + pbid) +
                   ",\"creationTime\":" + std::to_string(created + pbid) + ",\"score\":" + score +
                   ",\"model\":{\"name\":\"Device::Test\",\"pid\":7,\"uuid\":\"u\"},\"device\":{\"did\":1}";
        if (padding > 0)
            b.bytes += ",\"padding\":\"" + std::string(padding, 'p') + "\"";
        b.bytes += "}";
        parts.emplace_back(at, b.bytes.size() - at);
    }
    for (std::size_t i = 0; i < parts.size(); ++i)
    {
        archive_element e;
        e.key.pbid = first + static_cast<std::int64_t>(i);
        e.key.created = created + e.key.pbid;
        e.time = e.key.created;
        e.body = std::string_view(b.bytes).substr(parts[i].first, parts[i].second);
        b.elements.push_back(e);
    }
    return b;
}

awaitable<void> add_and_ring(std::shared_ptr<archive> a, archive_block b, deliver::delivery* d)
{
    auto done = co_await a->add(std::move(b));
    BOOST_TEST(done.has_value());
    if (d)
        d->ring(a->master());
}

}  // namespace

awaitable<outcome<archive_span>> watched_archive::read(std::int64_t after,
                                                       std::size_t count,
                                                       std::size_t bytes)
{
    ++reads;
    while (hang_reads)
        co_await wake_.wait(1h);
    if (fail_reads)
        co_return outcome<archive_span>(fail(errc::archive_damaged, "archive.db is damaged (test)"));
    auto span = co_await real_->read(after, count, bytes);
    co_return span;
}

awaitable<outcome<bool>> watched_archive::confirm(std::string destination, confirmed_batch batch)
{
    ++confirms;
    if (fail_confirms)
        co_return outcome<bool>(fail(errc::disk_full, "disk full (test)"));
    batches.push_back(batch);
    auto saved = co_await real_->confirm(std::move(destination), std::move(batch));
    co_return saved;
}

stage::stage() : pool_(std::make_unique<archive_pool>(workers_.get_executor(), folder_.path().string())) {}

stage::~stage()
{
    for (auto& [_, s] : stores_)
        run_coro(ctx, s->close(), 10s);
    stores_.clear();
    pool_.reset();
    workers_.join();
}

std::shared_ptr<archive> stage::shared(const std::string& master)
{
    store(master);
    return stores_[master];
}

watched_archive& stage::store(const std::string& master)
{
    auto& kept = stores_[master];
    if (!kept)
    {
        auto opened = run_coro(ctx, archive::open(*pool_, master, ""), 10s);
        BOOST_REQUIRE(opened);
        kept = std::make_shared<watched_archive>(ctx.get_executor(), *opened);
    }
    return *kept;
}

void stage::fill(const std::string& master,
                 std::int64_t first,
                 std::int64_t count,
                 const char* score,
                 std::size_t padding,
                 std::int64_t created)
{
    run_coro(
        ctx, add_and_ring(shared(master), block_of(first, count, score, padding, created), nullptr), 20s);
}

void stage::fill_later(deliver::delivery& d,
                       const std::string& master,
                       std::int64_t first,
                       std::int64_t count,
                       const char* score)
{
    asio::co_spawn(ctx,
                   add_and_ring(stores_.at(master), block_of(first, count, score, 0, 1'700'000'000'000), &d),
                   [](std::exception_ptr e) { BOOST_TEST(!e); });
}

void stage::fill_unheard(const std::string& master, std::int64_t first, std::int64_t count)
{
    asio::co_spawn(
        ctx,
        add_and_ring(stores_.at(master), block_of(first, count, "0.5", 0, 1'700'000'000'000), nullptr),
        [](std::exception_ptr e) { BOOST_TEST(!e); });
}

std::int64_t stage::cursor(const std::string& master, const std::string& destination)
{
    auto all = run_coro(ctx, store(master).cursors(), 10s);
    BOOST_REQUIRE(all);
    for (const auto& c : *all)
        if (c.destination == destination)
            return c.seq;
    return -1;
}

awaitable<void> stage::run(deliver::delivery& d, std::vector<step> steps, bool cancel)
{
    auto ex = co_await asio::this_coro::executor;
    task_group tasks(ex, [](const std::string&, std::exception_ptr e) {
        try
        {
            std::rethrow_exception(e);
        }
        catch (const std::exception& error)
        {
            BOOST_ERROR("the delivery threw " << error.what());
        }
    });
    tasks.spawn("run", d.run());
    asio::steady_timer timer(ex);
    std::size_t number = 0;
    for (auto& s : steps)
    {
        const auto until = std::chrono::steady_clock::now() + 20s;
        while (!s.when() && std::chrono::steady_clock::now() < until)
        {
            timer.expires_after(1ms);
            co_await timer.async_wait(asio::use_awaitable);
        }
        if (std::chrono::steady_clock::now() >= until)
        {
            const auto now = d.now();
            BOOST_ERROR("step " << number << " did not come: lag " << now.lag << ", sent " << now.sent
                                << ", confirmed " << now.confirmed << ", unconfirmed " << now.unconfirmed
                                << ", connects " << now.connects << ", breaks " << now.breaks << ", error "
                                << now.error);
            break;
        }
        ++number;
        if (s.then)
            s.then();
    }
    const auto from = std::chrono::steady_clock::now();
    if (cancel)
        tasks.cancel();
    else
        d.stop();
    const bool ended = co_await tasks.join(15s);
    stopped_in = std::chrono::steady_clock::now() - from;
    BOOST_TEST(ended);
    BOOST_TEST(!d.now().running);
}

void stage::play(deliver::delivery& d, std::vector<step> steps)
{
    run_coro(ctx, run(d, std::move(steps), false), 120s);
}

void stage::play_and_cancel(deliver::delivery& d, std::vector<step> steps)
{
    run_coro(ctx, run(d, std::move(steps), true), 120s);
}

void reformat(deliver::settings& s)
{
    s.formatter = std::make_shared<format::formatter>(s.options.format, format::field_map(), "bridge");
}

deliver::settings settings_to(std::vector<std::uint16_t> ports,
                              transport::protocol kind,
                              const std::string& rules)
{
    deliver::settings s;
    s.options.name = "siem";
    s.options.start.reset();
    s.options.transport.kind = kind;
    s.options.transport.frames = transport::framing::newline;
    for (const auto port : ports)
        s.options.transport.addresses.push_back(net::endpoint_name{"127.0.0.1", port});
    s.options.format.header = format::header_kind::none;
    auto loaded = rules::load_text(rules, "rules.toml");
    BOOST_REQUIRE(loaded.ok);
    s.policy = std::make_shared<const rules::policy>(std::move(loaded.value));
    reformat(s);
    return s;
}

deliver::limits quick()
{
    deliver::limits l;
    l.first_retry = 10ms;
    l.last_retry = 200ms;
    return l;
}

format::master_info info(const std::string& name)
{
    format::master_info i;
    i.name = name;
    i.url = "https://" + name + ".example";
    return i;
}

std::int64_t pbid_of(const std::string& message)
{
    const auto at = message.find("\"pbid\":");
    return at == std::string::npos ? -1 : std::stoll(message.substr(at + 7));
}

std::vector<std::int64_t> pbids_of(const std::vector<std::string>& messages)
{
    std::vector<std::int64_t> all;
    for (const auto& m : messages)
        all.push_back(pbid_of(m));
    return all;
}

std::set<std::int64_t> all_of(std::int64_t first, std::int64_t last)
{
    std::set<std::int64_t> s;
    for (auto i = first; i <= last; ++i)
        s.insert(i);
    return s;
}

std::set<std::int64_t> set_of(const std::vector<std::int64_t>& v)
{
    return {v.begin(), v.end()};
}

}  // namespace dtbridge::test
