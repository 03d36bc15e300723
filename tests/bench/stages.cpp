/// bench-stages [--ratios=FILE] [options of Google Benchmark]: what each stage of a breach's way costs,
/// beside the same breaches parsed once by Boost.JSON and once by simdjson. Prints the table of ratios in the
/// end.

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/core/breach.hpp>
#include <dtbridge/format/formatter.hpp>
#include <dtbridge/poll/element_splitter.hpp>
#include <dtbridge/rules/policy.hpp>
#include <dtbridge/transport/transport.hpp>

#include <benchmark/benchmark.h>
#include <simdjson.h>
#include <sys/wait.h>
#include <unistd.h>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/json.hpp>

#include <csignal>
#include <cstdio>
#include <fstream>
#include <functional>
#include <iostream>
#include <memory>
#include <stdexcept>

#include "breaches.hpp"
#include "ratios.hpp"
#include "support/pki.hpp"
#include "support/temp_dir.hpp"

using namespace dtbridge;

namespace
{

using bench::breach_set;
using benchmark::State;

/// As the HTTP client hands an answer on.
constexpr std::size_t piece_bytes = 64u << 10;
constexpr std::size_t block_bytes = 256u << 10;
/// One batch of a delivery.
constexpr std::size_t batch_messages = 64;
constexpr std::size_t batch_bytes = 128u << 10;

// --- the yardsticks

void parse_boost(State& state, const breach_set& set)
{
    for (auto _ : state)
        for (const auto& e : set.elements)
        {
            auto value = boost::json::parse(e);
            benchmark::DoNotOptimize(value);
        }
}

void parse_simdjson(State& state, const breach_set& set)
{
    std::vector<simdjson::padded_string> padded;
    for (const auto& e : set.elements)
        padded.emplace_back(e);
    simdjson::dom::parser parser;
    for (auto _ : state)
        for (const auto& e : padded)
        {
            simdjson::dom::element root;
            if (parser.parse(e).get(root) != simdjson::SUCCESS)
                throw std::runtime_error("simdjson refuses a breach");
            benchmark::DoNotOptimize(root);
        }
}

// --- from the answer to the archive

/// Feeds the answer piece by piece and calls for every element.
template <class F>
void split_answer(poll::element_splitter& splitter, const std::string& answer, F each)
{
    splitter.reset();
    for (std::size_t at = 0; at < answer.size(); at += piece_bytes)
    {
        splitter.feed(std::string_view(answer).substr(at, piece_bytes));
        while (splitter.next() == poll::element_splitter::event::element)
            each(splitter.element());
    }
}

void split(State& state, const breach_set& set)
{
    poll::element_splitter splitter;
    for (auto _ : state)
    {
        std::size_t bytes = 0;
        split_answer(splitter, set.answer, [&](std::string_view e) { bytes += e.size(); });
        if (bytes != set.bytes)
            throw std::runtime_error("the splitter lost something");
    }
}

/// Split and parsed into what the archive takes.
void take(State& state, const breach_set& set)
{
    poll::element_splitter splitter;
    breach reader;
    archive_block block;
    for (auto _ : state)
    {
        block.bytes.clear();
        block.elements.clear();
        split_answer(splitter, set.answer, [&](std::string_view e) {
            if (!reader.read(e))
                throw std::runtime_error("a breach is refused");
            archive_element element;
            element.key = reader.key;
            element.time = reader.time;
            element.acknowledged = is_acknowledged(reader);
            reader.root.find("commentCount").integer(element.comment_count);
            block.bytes.append(e);
            block.elements.push_back(element);
        });
        benchmark::DoNotOptimize(block);
    }
}

/// An archive in a folder of its own, with what it needs to run.
class stage_archive
{
public:
    stage_archive() : pool_(workers_.get_executor(), dir_.path())
    {
        std::string master = "bench";
        std::string none;
        auto opened = run(archive::open(pool_, std::move(master), std::move(none)));
        if (!opened)
            throw std::runtime_error(opened.error().detail);
        store = *opened;
    }
    ~stage_archive()
    {
        run(store->close());
        store.reset();
        workers_.join();
    }
    stage_archive(const stage_archive&) = delete;
    stage_archive& operator=(const stage_archive&) = delete;

    template <class T>
    T run(awaitable<T> task)
    {
        std::optional<T> answer;
        asio::co_spawn(ctx_, std::move(task), [&answer](std::exception_ptr e, T value) {
            if (e)
                std::rethrow_exception(e);
            answer = std::move(value);
        });
        ctx_.restart();
        ctx_.run();
        return std::move(*answer);
    }

    /// The set once more, under pbids that are new.
    void append(const breach_set& set)
    {
        archive_block block;
        block.bytes.reserve(block_bytes + set.elements.front().size());
        std::vector<std::size_t> ends;
        const auto flush = [&] {
            for (std::size_t i = 0, from = 0; i < ends.size(); from = ends[i++])
            {
                archive_element e;
                e.key = breach_key{++pbid_, 1'760'000'000'000 + pbid_};
                e.time = e.key.created;
                e.body = std::string_view(block.bytes).substr(from, ends[i] - from);
                block.elements.push_back(e);
            }
            auto done = run(store->add(std::move(block)));
            if (!done || done->keys.size() != ends.size())
                throw std::runtime_error("the archive does not take a block");
            block = archive_block{};
            ends.clear();
        };
        for (const auto& e : set.elements)
        {
            block.bytes += e;
            ends.push_back(block.bytes.size());
            if (block.bytes.size() >= block_bytes)
                flush();
        }
        if (!ends.empty())
            flush();
    }

    /// Reads the n breaches after that one as a delivery does; answers up to where.
    std::int64_t read_on(std::int64_t after, std::size_t n)
    {
        for (std::size_t got = 0; got < n;)
        {
            auto span = run(store->read(after, std::min<std::size_t>(128, n - got), block_bytes));
            if (!span || span->breaches.empty())
                throw std::runtime_error("the archive cannot be read");
            got += span->breaches.size();
            after = span->scanned_to;
            benchmark::DoNotOptimize(span->breaches.back().body);
        }
        return after;
    }

    std::shared_ptr<archive> store;

private:
    test::temp_dir dir_;
    asio::io_context ctx_;
    asio::thread_pool workers_{1};
    archive_pool pool_;
    std::int64_t pbid_ = 0;
};

void append(State& state, const breach_set& set)
{
    stage_archive a;
    for (auto _ : state)
        a.append(set);
}

/// What was just archived, from memory.
void read_on(State& state, const breach_set& set)
{
    stage_archive a;
    a.append(set);
    for (auto _ : state)
        a.read_on(0, set.elements.size());
}

/// A backlog, from disk: far more than is kept in memory lies behind it.
void read_backlog(State& state, const breach_set& set)
{
    constexpr int times = 16;
    stage_archive a;
    for (int i = 0; i < times; ++i)
        a.append(set);
    const auto last = static_cast<std::int64_t>(set.elements.size()) * (times / 2);
    std::int64_t at = 0;
    for (auto _ : state)
    {
        at = a.read_on(at, set.elements.size());
        if (at >= last)
            at = 0;
    }
}

// --- from the archive to the collector

void parse_again(State& state, const breach_set& set)
{
    breach reader;
    for (auto _ : state)
        for (const auto& e : set.elements)
            if (!reader.read(e))
                throw std::runtime_error("a breach is refused");
}

rules::policy stage_two()
{
    auto loaded = rules::load_text(rules::builtin_mapping("mappings/stage-2.toml"), "stage-2.toml");
    if (!loaded.ok)
        throw std::runtime_error("mappings/stage-2.toml is refused");
    return std::move(loaded.value);
}

std::vector<std::unique_ptr<breach>> read_all(const breach_set& set)
{
    std::vector<std::unique_ptr<breach>> out;
    for (const auto& e : set.elements)
    {
        out.push_back(std::make_unique<breach>());
        if (!out.back()->read(e))
            throw std::runtime_error("a breach is refused");
    }
    return out;
}

void decide(State& state, const breach_set& set)
{
    const auto policy = stage_two();
    const auto all = read_all(set);
    for (auto _ : state)
        for (const auto& b : all)
        {
            auto said = policy.decide(*b);
            benchmark::DoNotOptimize(said);
        }
}

format::formatter make_formatter(format::kind kind)
{
    format::options o;
    o.format = kind;
    o.header = kind == format::kind::json ? format::header_kind::rfc5424 : format::header_kind::rfc3164;
    o.max_message = kind == format::kind::json ? 64u << 10 : kind == format::kind::cef ? 8u << 10 : 4u << 10;
    auto map =
        kind == format::kind::json ? format::loaded_map{} : format::load_field_map(kind, "", "built-in");
    if (!map.ok)
        throw std::runtime_error("a built-in field map is refused");
    return {std::move(o), std::move(map.value), "bridge.example"};
}

format::master_info some_master()
{
    format::master_info m;
    m.name = "acme";
    m.url = "https://darktrace.acme.example";
    return m;
}

void write_format(State& state, const breach_set& set, format::kind kind)
{
    auto formatter = make_formatter(kind);
    const auto master = some_master();
    const auto all = read_all(set);
    rules::decision said;
    std::string message;
    for (auto _ : state)
        for (const auto& b : all)
        {
            message.clear();
            if (formatter.message(*b, master, said, message) == format::verdict::undeliverable)
                throw std::runtime_error("a breach cannot be formatted");
            benchmark::DoNotOptimize(message);
        }
}

std::vector<std::string> messages(const breach_set& set)
{
    auto formatter = make_formatter(format::kind::cef);
    const auto master = some_master();
    const rules::decision said;
    std::vector<std::string> out;
    for (const auto& b : read_all(set))
        formatter.message(*b, master, said, out.emplace_back());
    return out;
}

void frame(State& state, const breach_set& set)
{
    const auto all = messages(set);
    transport::batch batch(transport::wire::octet_counting);
    for (auto _ : state)
    {
        batch.clear();
        for (const auto& m : all)
        {
            if (batch.count() == batch_messages || batch.bytes().size() + m.size() > batch_bytes)
                batch.clear();
            batch.add(m);
            benchmark::DoNotOptimize(batch.bytes().data());
        }
    }
}

/// bench-sink as a process of its own, so that what it does is not counted here.
class sink
{
public:
    sink(const std::string& certificate, const std::string& key)
    {
        int in[2];
        int out[2];
        if (::pipe(in) != 0 || ::pipe(out) != 0)
            throw std::runtime_error("no pipe");
        child_ = ::fork();
        if (child_ == 0)
        {
            ::dup2(in[0], 0);
            ::dup2(out[1], 1);
            for (const int fd : {in[0], in[1], out[0], out[1]})
                ::close(fd);
            auto program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "bench-sink";
            if (certificate.empty())
                ::execl(program.c_str(), "bench-sink", nullptr);
            else
                ::execl(program.c_str(), "bench-sink", "--tls", certificate.c_str(), key.c_str(), nullptr);
            ::_exit(127);
        }
        ::close(in[0]);
        ::close(out[1]);
        in_ = in[1];
        std::FILE* said = ::fdopen(out[0], "r");
        unsigned number = 0;
        if (said == nullptr || std::fscanf(said, "port %u", &number) != 1)
            throw std::runtime_error("bench-sink does not run");
        port = static_cast<std::uint16_t>(number);
        said_ = said;
    }
    ~sink()
    {
        ::close(in_);
        std::fclose(said_);
        ::waitpid(child_, nullptr, 0);
    }
    sink(const sink&) = delete;
    sink& operator=(const sink&) = delete;

    std::uint16_t port = 0;

private:
    pid_t child_ = -1;
    int in_ = -1;
    std::FILE* said_ = nullptr;
};

awaitable<void> connect_to(transport::connector& c, std::unique_ptr<transport::connection>& out)
{
    transport::connector::notify nothing = [] {};
    auto opened = co_await c.connect(std::move(nothing));
    if (!opened)
        throw std::runtime_error(opened.error().detail);
    out = std::move(*opened);
}

awaitable<void> send_all(transport::connection& c, const std::vector<transport::batch>& batches)
{
    for (const auto& b : batches)
    {
        auto sent = co_await c.send(b);
        if (!sent)
            throw std::runtime_error(sent.error().detail);
    }
}

/// Written to a collector on loopback, confirmations looked at as they come.
void send(State& state, const breach_set& set, bool tls)
{
    const test::temp_dir dir;
    std::string certificate;
    std::string key;
    if (tls)
    {
        test::certificate_wish wish;
        wish.names = {"IP:127.0.0.1"};
        const auto made = test::make_certificate(wish);
        certificate = dir / "server.pem";
        key = dir / "server.key";
        made.write_cert(certificate);
        made.write_key(key);
    }
    const sink collector(certificate, key);
    std::vector<transport::batch> batches;
    for (const auto& m : messages(set))
    {
        if (batches.empty() || batches.back().count() == batch_messages ||
            batches.back().bytes().size() + m.size() > batch_bytes)
            batches.emplace_back(transport::wire::octet_counting);
        batches.back().add(m);
    }
    asio::io_context ctx;
    const auto run = [&ctx](awaitable<void> task) {
        bool done = false;
        std::exception_ptr error;
        asio::co_spawn(ctx, std::move(task), [&](std::exception_ptr e) {
            error = e;
            done = true;
        });
        while (!done && ctx.run_one() != 0)
        {}
        if (error)
            std::rethrow_exception(error);
    };
    transport::options o;
    o.kind = tls ? transport::protocol::tls : transport::protocol::tcp;
    o.frames = transport::framing::octet_counting;
    o.tls.verify = false;
    net::endpoint_name address;
    address.host = "127.0.0.1";
    address.port = collector.port;
    o.addresses.push_back(address);
    transport::connector connector(ctx.get_executor(), o);
    std::unique_ptr<transport::connection> connection;
    run(connect_to(connector, connection));
    std::uint64_t sent = 0;
    for (auto _ : state)
    {
        run(send_all(*connection, batches));
        sent += batches.size();
    }
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (connection->confirmed() < sent && ctx.run_one_until(deadline) != 0)
    {}
    if (connection->confirmed() != sent)
        state.SkipWithError("not everything was confirmed");
    run(connection->close());
}

// --- the program

using stage = std::function<void(State&, const breach_set&)>;

const std::vector<std::pair<std::string, stage>>& stages()
{
    using format::kind;
    static const std::vector<std::pair<std::string, stage>> all = {
        {"parse_boost", parse_boost},
        {"parse_simdjson", parse_simdjson},
        {"split", split},
        {"take", take},
        {"append", append},
        {"read_on", read_on},
        {"read_backlog", read_backlog},
        {"parse_again", parse_again},
        {"decide", decide},
        {"format_json", [](State& s, const breach_set& b) { write_format(s, b, kind::json); }},
        {"format_cef", [](State& s, const breach_set& b) { write_format(s, b, kind::cef); }},
        {"format_leef", [](State& s, const breach_set& b) { write_format(s, b, kind::leef); }},
        {"frame", frame},
        {"send_tcp", [](State& s, const breach_set& b) { send(s, b, false); }},
        {"send_tls", [](State& s, const breach_set& b) { send(s, b, true); }},
    };
    return all;
}

/// An answer that cannot be measured is an error of the benchmark, and the others go on.
void guarded(State& state, const stage& what, const breach_set& set)
{
    try
    {
        what(state, set);
    }
    catch (const std::exception& e)
    {
        state.SkipWithError(e.what());
        return;
    }
    const auto n = static_cast<std::int64_t>(state.iterations());
    state.SetItemsProcessed(n * static_cast<std::int64_t>(set.elements.size()));
    state.SetBytesProcessed(n * static_cast<std::int64_t>(set.bytes));
}

}  // namespace

int main(int argc, char** argv)
{
    std::signal(SIGPIPE, SIG_IGN);
    std::string ratios_file;
    std::vector<char*> rest;
    for (int i = 0; i < argc; ++i)
        if (std::string_view(argv[i]).starts_with("--ratios="))
            ratios_file = argv[i] + 9;
        else
            rest.push_back(argv[i]);
    int count = static_cast<int>(rest.size());
    benchmark::Initialize(&count, rest.data());
    if (benchmark::ReportUnrecognizedArguments(count, rest.data()))
        return 2;

    std::vector<breach_set> sets;
    for (const std::size_t bytes : {2000, 5000, 14000})
        sets.push_back(bench::generated(bytes));
    sets.push_back(bench::captured());
    if (sets.back().elements.empty())
    {
        std::cout
            << "captured: skipped, there are no captured samples (DTBRIDGE_SHARED, or shared beside the "
               "checkout)\n";
        sets.pop_back();
    }
    std::map<std::string, bench::ratios::amount> amounts;
    for (const auto& set : sets)
    {
        amounts[set.name] = {static_cast<double>(set.elements.size()), static_cast<double>(set.bytes)};
        for (const auto& [name, what] : stages())
            benchmark::RegisterBenchmark((name + "/" + set.name).c_str(),
                                         [&what, &set](State& s) { guarded(s, what, set); })
                ->MeasureProcessCPUTime()
                ->Unit(benchmark::kMicrosecond);
    }
    bench::ratios reporter(amounts);
    benchmark::RunSpecifiedBenchmarks(&reporter);
    std::cout << '\n' << reporter.table() << std::flush;
    if (!ratios_file.empty())
    {
        std::ofstream out(ratios_file);
        out << reporter.json();
        if (!out.flush())
        {
            std::cerr << "cannot write " << ratios_file << '\n';
            return 1;
        }
    }
    return 0;
}
