#include <transport/kafka_connection.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <dtbridge/async/offload.hpp>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <list>
#include <mutex>
#include <system_error>
#include <thread>

#include <transport/kafka_settings.hpp>
#include <transport/linked_connection.hpp>
#include <transport/waits.hpp>

namespace dtbridge::transport
{

namespace
{

using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// A look without being told: costs nothing, and a wake-up that went astray delays by no more.
constexpr duration look_anyway = seconds(1);
/// One question about the topic blocks a thread for so long, and a connection that is given up waits for it.
constexpr milliseconds first_patience{100}, last_patience{4000};
/// A topic that brokers are just making is asked for again; one that is not there is given up after this.
constexpr duration until_made = seconds(2);
/// Closing waits for librdkafka's threads, but not for one that hangs in a name lookup.
constexpr duration ending_limit = seconds(5);
constexpr std::size_t most_troubles = 4;

/// What becomes of producers: librdkafka ends them by waiting for its threads, which the I/O thread must not.
/// Each is ended on a thread of its own, and the process ends when all of them have.
class endings
{
public:
    static endings& all()
    {
        static endings one;
        return one;
    }
    ~endings()
    {
        for (auto& e : list_)
            e.thread.join();
    }
    /// Answers what becomes true once job is done.
    template <class Job>
    std::shared_ptr<std::atomic<bool>> run(Job job)
    {
        auto done = std::make_shared<std::atomic<bool>>(false);
        const std::lock_guard lock(mutex_);
        list_.remove_if([](one_ending& e) {
            if (!*e.done)
                return false;
            e.thread.join();
            return true;
        });
        try
        {
            list_.push_back({std::thread([job, done] {
                                 job();
                                 *done = true;
                             }),
                             done});
        }
        catch (const std::system_error&)
        {
            // No thread to be had: better late than never.
            job();
            *done = true;
        }
        return done;
    }

private:
    struct one_ending
    {
        std::thread thread;
        std::shared_ptr<std::atomic<bool>> done;
    };
    std::mutex mutex_;
    std::list<one_ending> list_;
};

struct topic_facts
{
    enum class state {
        there,
        no_broker,  ///< is connected to
        no_answer,  ///< in time
        making,     ///< brokers have just created it
        missing,
        refused,
    };
    state now = state::no_broker;
    std::string words;   ///< what is wrong, behind the cluster's name
    std::string broker;  ///< who answered
};

topic_facts read_facts(const kafka_library& library,
                       const rd_kafka_metadata_t& answer,
                       const std::string& topic,
                       bool all)
{
    topic_facts f;
    f.broker = answer.orig_broker_name ? answer.orig_broker_name : "";
    f.now = topic_facts::state::missing;
    f.words = "the topic does not exist";
    if (all)
        f.words += ", or this user may not see it; create it, or allow Describe and Write";
    for (int i = 0; i < answer.topic_cnt; ++i)
    {
        const auto& t = answer.topics[i];
        if (t.topic == nullptr || topic != t.topic)
            continue;
        switch (t.err)
        {
            case RD_KAFKA_RESP_ERR_NO_ERROR:
                f.now = topic_facts::state::there;
                break;
            case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
                break;
            case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
                f.now = topic_facts::state::making;
                f.words = "no partition of the topic has a leader";
                break;
            case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
                f.now = topic_facts::state::refused;
                f.words = "this user may not see the topic; allow Describe and Write";
                break;
            default:
                f.now = topic_facts::state::refused;
                f.words = std::string("the brokers refuse the topic: ") + library.err2str(t.err);
        }
        break;
    }
    return f;
}

/// Asks the cluster for the topic, which blocks. all: for every topic, since asking for one makes brokers
/// create it, where they are set to do so.
topic_facts ask(const kafka_library& library,
                rd_kafka_t* producer,
                const std::string& topic,
                bool all,
                milliseconds limit)
{
    topic_facts f;
    rd_kafka_topic_t* one = nullptr;
    if (!all)
    {
        one = library.topic_new(producer, topic.c_str(), nullptr);
        if (one == nullptr)
        {
            f.now = topic_facts::state::refused;
            f.words = "librdkafka cannot use the topic";
            return f;
        }
    }
    const rd_kafka_metadata_t* answer = nullptr;
    const auto e = library.metadata(producer, all ? 1 : 0, one, &answer, static_cast<int>(limit.count()));
    if (e == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        f = read_facts(library, *answer, topic, all);
        library.metadata_destroy(answer);
    }
    else if (e == RD_KAFKA_RESP_ERR__TIMED_OUT)
        f.now = topic_facts::state::no_answer;
    else
        f.now = topic_facts::state::no_broker;
    if (one != nullptr)
        library.topic_destroy(one);
    return f;
}

bool is_too_large(rd_kafka_resp_err_t e)
{
    return e == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || e == RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE;
}

}  // namespace

/// The library's handle, and the descriptor that it writes to when there is something to take in.
class kafka_connection::producer
{
public:
    producer(std::shared_ptr<const kafka_library> library, rd_kafka_t* handle, int fd)
        : library_(std::move(library)), handle_(handle), queue_(library_->queue_get_main(handle)), fd_(fd)
    {
        static const std::uint64_t one = 1;  // what an eventfd takes
        library_->queue_io_event_enable(queue_, fd_, &one, sizeof one);
    }
    producer(const producer&) = delete;
    producer& operator=(const producer&) = delete;
    ~producer() { end(); }
    rd_kafka_t* handle() const { return handle_; }
    /// Sends nothing more. Answers what becomes true once all threads have ended.
    std::shared_ptr<std::atomic<bool>> end()
    {
        if (!ended_)
            ended_ = endings::all().run([library = library_, handle = handle_, queue = queue_, fd = fd_] {
                library->purge(handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
                library->queue_io_event_enable(queue, -1, nullptr, 0);
                library->queue_destroy(queue);
                library->destroy(handle);
                ::close(fd);
            });
        return ended_;
    }

private:
    std::shared_ptr<const kafka_library> library_;
    rd_kafka_t* handle_;
    rd_kafka_queue_t* queue_;
    int fd_;
    std::shared_ptr<std::atomic<bool>> ended_;
};

/// Called by poll() on the I/O thread, but for said().
struct kafka_connection::callbacks
{
    static void delivered(rd_kafka_t*, const rd_kafka_message_t* m, void* connection)
    {
        static_cast<kafka_connection*>(connection)
            ->delivered(*static_cast<const mark*>(m->_private), m->err, m->len);
    }
    static void failed(rd_kafka_t* handle, int code, const char* words, void* connection)
    {
        auto& c = *static_cast<kafka_connection*>(connection);
        auto e = static_cast<rd_kafka_resp_err_t>(code);
        std::string text = words ? words : "";
        if (e == RD_KAFKA_RESP_ERR__FATAL)
        {
            std::array<char, 512> why{};
            c.library_->fatal_error(handle, why.data(), why.size());
            text = why.data();
        }
        c.noticed(e, std::move(text));
    }
    /// Its log says the same as the errors do, at another time and with more words.
    static void said(const rd_kafka_t*, int, const char*, const char*) {}
};

kafka_connection::kafka_connection(asio::any_io_executor ex,
                                   std::shared_ptr<const kafka_library> library,
                                   std::string name,
                                   std::string topic,
                                   timing t,
                                   kafka_memory& memory)
    : library_(std::move(library)),
      name_(std::move(name)),
      topic_(std::move(topic)),
      timing_(t),
      memory_(memory),
      one_by_one_(memory.one_by_one),
      events_(ex),
      tasks_(ex,
             [this](const std::string&, std::exception_ptr) {
                 over(fail(errc::refused, name_ + ": internal error while reading delivery reports"));
             }),
      work_(ex),
      moved_(ex),
      room_(ex)
{}

kafka_connection::~kafka_connection() = default;

outcome<bool> kafka_connection::start(const options& o)
{
    auto conf = make_kafka_conf(*library_, o, timing_, one_by_one_);
    if (!conf)
        return conf.error();
    library_->conf_set_opaque(conf->get(), this);
    library_->conf_set_dr_msg_cb(conf->get(), callbacks::delivered);
    library_->conf_set_error_cb(conf->get(), callbacks::failed);
    library_->conf_set_log_cb(conf->get(), callbacks::said);
    const int theirs = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const int ours = theirs < 0 ? -1 : ::fcntl(theirs, F_DUPFD_CLOEXEC, 0);
    if (ours < 0)
    {
        const error_code e(errno, boost::system::system_category());
        if (theirs >= 0)
            ::close(theirs);
        return fail(e, name_ + ": " + e.message());
    }
    events_.assign(ours);
    std::array<char, 512> why{};
    rd_kafka_t* handle = library_->create(RD_KAFKA_PRODUCER, conf->get(), why.data(), why.size());
    if (handle == nullptr)
    {
        ::close(theirs);
        return fail(errc::refused, name_ + ": librdkafka cannot start: " + why.data());
    }
    conf->release();  // the producer's now
    producer_ = std::make_unique<producer>(library_, handle, theirs);
    return true;
}

awaitable<outcome<std::unique_ptr<connection>>> kafka_connection::open(
    asio::any_io_executor ex,
    const options& o,
    timing t,
    kafka_memory& memory,
    std::shared_ptr<net::connect_report> report,
    connector::notify changed)
{
    using answer = outcome<std::unique_ptr<connection>>;
    using state = topic_facts::state;
    const bool only_look = report != nullptr;
    if (report)
    {
        report->step = "connect";
        report->address = o.addresses.front().text();
    }
    auto library = kafka_library::get();
    if (!library)
        co_return answer(library.error());
    auto c = std::make_unique<kafka_connection>(ex, *library, kafka_name(o), o.kafka.topic, t, memory);
    auto started = c->start(o);
    if (!started)
        co_return answer(started.error());
    asio::thread_pool one_thread(1);
    const asio::any_io_executor worker = one_thread.get_executor();
    const auto began = clock::now();
    auto patience = first_patience;
    asio::steady_timer pause(ex);
    for (;;)
    {
        const auto left = std::chrono::ceil<milliseconds>(began + t.connect - clock::now());
        const auto limit = std::clamp(left, milliseconds(10), patience);
        auto question =
            [&l = **library, handle = c->producer_->handle(), &topic = o.kafka.topic, only_look, limit] {
                return ask(l, handle, topic, only_look, limit);
            };
        auto found = co_await offload(worker, std::move(question));
        c->serve();
        if (c->reason_)
            co_return answer(*c->reason_);
        if (found.now == state::there)
        {
            if (report)
            {
                report->step = "done";
                report->address = found.broker;
            }
            break;
        }
        const auto now = clock::now();
        const bool late = now - began >= t.connect;
        if (found.now == state::refused ||
            (found.now == state::missing && (only_look || now - began >= until_made)) ||
            (late && (found.now == state::missing || found.now == state::making)))
            co_return answer(fail(errc::refused, c->name_ + ": " + found.words));
        if (c->all_down_ || late)
        {
            std::string words = c->troubles();
            if (words.empty())
                words = "no broker answered within " + in_seconds(t.connect);
            co_return answer(fail(errc::refused, c->name_ + ": " + words));
        }
        if (found.now == state::no_answer)
            patience = std::min(patience * 2, last_patience);
        else if (found.now != state::no_broker)
        {
            pause.expires_after(first_patience);
            co_await pause.async_wait(asio::use_awaitable);
        }
    }
    c->troubles_.clear();
    c->all_down_ = false;
    c->up_ = true;
    c->changed_ = std::move(changed);
    c->tasks_.spawn("events", c->wait_for_events());
    c->tasks_.spawn("look", c->look_now_and_then());
    co_return answer(std::unique_ptr<connection>(std::move(c)));
}

awaitable<void> kafka_connection::wait_for_events()
{
    while (!reason_)
    {
        auto token = asio::as_tuple(asio::use_awaitable);
        auto [ec] = co_await events_.async_wait(asio::posix::stream_descriptor::wait_read, token);
        if (reason_)
            break;
        if (ec)
            over(fail(ec, name_ + ": " + ec.message()));
        else
            serve();
    }
}

awaitable<void> kafka_connection::look_now_and_then()
{
    while (!reason_)
    {
        const auto wait = sent_.empty() ? no_deadline : look_anyway;
        const bool rung = co_await work_.wait(wait);
        if (!rung && !reason_)
            serve();
        else
            settle();
    }
}

void kafka_connection::serve()
{
    // The counter first: what comes behind it is told anew.
    std::uint64_t count = 0;
    [[maybe_unused]] const auto size = ::read(events_.native_handle(), &count, sizeof count);
    while (!reason_ && library_->poll(producer_->handle(), 0) > 0)
    {}
    settle();
}

void kafka_connection::delivered(const mark& m, rd_kafka_resp_err_t e, std::size_t size)
{
    if (reason_)
        return;
    auto& b = *m.of;
    if (e == RD_KAFKA_RESP_ERR_NO_ERROR)
    {
        --b.waiting;
        troubles_.clear();
        all_down_ = false;
    }
    else if (!is_too_large(e))
        over(undelivered(e));
    else if (one_by_one_ || size >= kafka_batch_bytes)
    {
        --b.waiting;
        b.refused.push_back({0, m.place, size});
    }
    else
    {
        memory_.one_by_one = true;
        over(fail(errc::over_limit,
                  name_ +
                      ": the brokers refused several messages together as too large (max.message.bytes of "
                      "the topic); they are sent again one by one"));
    }
}

void kafka_connection::noticed(rd_kafka_resp_err_t e, std::string words)
{
    if (e == RD_KAFKA_RESP_ERR__FATAL)
    {
        over(fail(errc::refused, name_ + ": " + words));
        return;
    }
    if (e == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
    {
        all_down_ = true;
        // With nothing on its way there is nothing to wait for: the next connection tells what is wrong, if
        // anything is. What is on its way is librdkafka's to try again, until it times out.
        if (up_ && sent_.empty())
            over(fail(asio::error::eof, name_ + ": closed by the brokers"));
        return;
    }
    // "sasl_ssl://b1.example:9093/bootstrap: SSL handshake failed: .. (after 3ms in state SSL_HANDSHAKE)":
    // the same trouble is to read the same each time.
    if (const auto at = words.find(" (after "); at != std::string::npos)
        words.resize(at);
    const auto colon = words.find(": ");
    auto broker = words.substr(0, colon);
    const auto known =
        std::find_if(troubles_.begin(), troubles_.end(), [&](const auto& t) { return t.first == broker; });
    if (known != troubles_.end())
        known->second = std::move(words);
    else if (troubles_.size() < most_troubles)
        troubles_.emplace_back(std::move(broker), std::move(words));
}

std::string kafka_connection::troubles() const
{
    std::string out;
    for (const auto& [_, words] : troubles_)
        out += (out.empty() ? "" : "; ") + words;
    return out;
}

failure kafka_connection::undelivered(rd_kafka_resp_err_t e) const
{
    switch (e)
    {
        case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT: {
            std::string words = name_ + ": the brokers confirmed nothing for " + in_seconds(timing_.answer);
            if (const auto more = troubles(); !more.empty())
                words += ": " + more;
            return fail(errc::timed_out, std::move(words));
        }
        case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
            return fail(errc::refused, name_ + ": this user may not write to the topic; allow Write");
        case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
            return fail(errc::refused,
                        name_ +
                            ": this user may not write once and in order; allow IdempotentWrite on the "
                            "cluster");
        case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
            return fail(errc::refused, name_ + ": the topic does not exist");
        default:
            return fail(errc::refused, name_ + ": a message was not delivered: " + library_->err2str(e));
    }
}

void kafka_connection::settle()
{
    bool more = false;
    while (!reason_ && !sent_.empty() && sent_.front().whole && sent_.front().waiting == 0)
    {
        ++confirmed_;
        for (auto& r : sent_.front().refused)
        {
            r.batch = confirmed_;
            refused_.push_back(r);
        }
        sent_.pop_front();
        more = true;
    }
    room_.ring();
    if (!more)
        return;
    moved_.ring();
    tell();
}

rd_kafka_resp_err_t kafka_connection::hand_over(const batch& b, std::size_t i, mark& m)
{
    const auto message = b.piece(i);
    const auto& label = b.label(i);
    rd_kafka_headers_t* headers = library_->headers_new(3);
    const auto add = [&](std::string_view name, std::string_view value) {
        if (!value.empty())
            library_->header_add(headers,
                                 name.data(),
                                 static_cast<ssize_t>(name.size()),
                                 value.data(),
                                 static_cast<ssize_t>(value.size()));
    };
    add("master", label.master);
    add("pbid", label.pbid);
    add("format", label.format);
    // Copied at once, in spite of the type.
    void* value = const_cast<char*>(message.data());
    const void* key = label.key.empty() ? nullptr : label.key.data();
    void* back = &m;
    // By the tags: the header's macros around them are GNU's own C.
    const auto e = library_->producev(producer_->handle(),
                                      RD_KAFKA_VTYPE_TOPIC,
                                      topic_.c_str(),
                                      RD_KAFKA_VTYPE_MSGFLAGS,
                                      RD_KAFKA_MSG_F_COPY,
                                      RD_KAFKA_VTYPE_VALUE,
                                      value,
                                      message.size(),
                                      RD_KAFKA_VTYPE_KEY,
                                      key,
                                      label.key.size(),
                                      RD_KAFKA_VTYPE_HEADERS,
                                      headers,
                                      RD_KAFKA_VTYPE_OPAQUE,
                                      back,
                                      RD_KAFKA_VTYPE_END);
    if (e != RD_KAFKA_RESP_ERR_NO_ERROR)
        library_->headers_destroy(headers);
    return e;
}

awaitable<outcome<send_report>> kafka_connection::send(const batch& b)
{
    if (reason_)
        co_return *reason_;
    /// A batch that a cancellation cut can never be confirmed, nor can any behind it.
    struct whole_batch
    {
        explicit whole_batch(kafka_connection& c) : owner(c) {}
        whole_batch(const whole_batch&) = delete;
        whole_batch& operator=(const whole_batch&) = delete;
        ~whole_batch()
        {
            if (!owner.reason_ && !owner.sent_.back().whole)
                owner.over(fail(asio::error::operation_aborted, owner.name_ + ": a write was cancelled"));
        }
        kafka_connection& owner;
    };
    const whole_batch guard(*this);
    send_report report;
    auto& mine = sent_.emplace_back();
    mine.marks.resize(b.count());
    for (std::size_t i = 0; i < b.count(); ++i)
        mine.marks[i] = {&mine, i};
    work_.ring();
    const auto until = clock::now() + timing_.write;
    const auto may = gate_of(b);
    std::size_t next = 0;
    while (next < b.count())
    {
        if (!reason_ && may && !may())
            lapse();
        if (reason_)
            co_return *reason_;
        const auto e = hand_over(b, next, mine.marks[next]);
        if (e == RD_KAFKA_RESP_ERR_NO_ERROR)
        {
            ++mine.waiting;
            ++next;
        }
        else if (e == RD_KAFKA_RESP_ERR__QUEUE_FULL && clock::now() < until)
            co_await room_.wait(until - clock::now());
        else if (e == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            over(
                fail(errc::timed_out, name_ + ": the brokers took nothing for " + in_seconds(timing_.write)));
        else if (is_too_large(e))
            report.undeliverable.push_back(next++);
        else
            over(undelivered(e));
    }
    if (reason_)
        co_return *reason_;
    mine.whole = true;
    // A batch of which nothing was sent is confirmed by nobody, so it is here; never before send() told of
    // it.
    if (mine.waiting == 0)
        work_.ring();
    co_return report;
}

awaitable<void> kafka_connection::finish(duration limit)
{
    const auto until = clock::now() + limit;
    while (!reason_ && !sent_.empty())
    {
        const auto left = until - clock::now();
        if (left <= duration::zero())
            break;
        co_await moved_.wait(left);
    }
}

void kafka_connection::over(failure why)
{
    if (reason_)
        return;
    reason_ = std::move(why);
    error_code ignored;
    events_.cancel(ignored);
    work_.ring();
    moved_.ring();
    room_.ring();
    tell();
}

void kafka_connection::lapse()
{
    if (reason_)
        return;
    library_->purge(producer_->handle(),
                    RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
    over(lease_ended(name_));
}

void kafka_connection::tell()
{
    if (changed_)
        changed_();
}

awaitable<void> kafka_connection::close()
{
    changed_ = nullptr;
    over(fail(asio::error::operation_aborted, name_ + ": closed"));
    tasks_.cancel();
    co_await tasks_.join(seconds(5));
    // What is left of it must not send beside the next one.
    const auto ended = producer_->end();
    const auto until = clock::now() + ending_limit;
    asio::steady_timer pause(events_.get_executor());
    for (auto wait = milliseconds(1); !*ended && clock::now() < until;
         wait = std::min(wait * 2, milliseconds(50)))
    {
        pause.expires_after(wait);
        co_await pause.async_wait(asio::use_awaitable);
    }
}

}  // namespace dtbridge::transport
