#pragma once

/// The pull API (product.md 9): a span of one master's archive as a body that is made while it is sent, in
/// bounded memory. Who may ask and where archive and policy come from is left to `app`. Tested in
/// tests/unit/web over an archive in memory, and with curl in tests/integration.

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/async/doorbell.hpp>
#include <dtbridge/format/formatter.hpp>
#include <dtbridge/rules/inventory.hpp>
#include <dtbridge/rules/policy.hpp>
#include <dtbridge/web/server.hpp>

namespace dtbridge::web
{

/// What one request asks for, checked.
struct pull_order
{
    std::string master;
    std::optional<std::int64_t> after;  ///< seq of the cursor; nothing: from the oldest
    std::string cursor_of;              ///< the master that the cursor was made for; "" without one
    std::size_t limit = 1000;
    std::string model;                  ///< glob on the model's path; "" all
    std::optional<std::int64_t> since;  ///< ms: created at or after
    std::string rules;                  ///< file stem of a policy in use; "" none
    format::kind as = format::kind::json;
    bool envelope = false;  ///< one JSON object instead of lines
    std::chrono::milliseconds wait{0};
};

/// Parameters master, after, limit, model, since, rules, format, envelope, wait; any other is a failure. now:
/// for since = "-24h".
outcome<pull_order> read_pull_order(std::string_view query, std::int64_t now);

struct cursor
{
    std::string master;
    std::int64_t seq = 0;
};

/// The opaque text of a cursor, of letters, digits, '-' and '_'.
std::string make_cursor(std::string_view master, std::int64_t seq);
/// Fails with what is wrong in words for the client.
outcome<cursor> read_cursor(std::string_view text);
/// What is wrong with the order's cursor where it is neither of the order's master nor of that master under
/// its former name ("": none), whose archive it has.
std::optional<failure> foreign_cursor(const pull_order& order, std::string_view formerly);

/// Who waits for news of a master. All calls from one thread.
class news_board
{
public:
    class waiting
    {
    public:
        waiting(news_board& board, asio::any_io_executor ex, std::string master);
        ~waiting();
        waiting(const waiting&) = delete;
        waiting& operator=(const waiting&) = delete;
        /// True when there was news since the last look.
        awaitable<bool> wait(std::chrono::steady_clock::duration limit) { return bell_.wait(limit); }

    private:
        friend class news_board;
        std::shared_ptr<std::list<waiting*>>
            all_;  // may outlive the board, where a stop did not wait for all
        doorbell bell_;
        std::string master_;
    };
    void ring(std::string_view master);

private:
    std::shared_ptr<std::list<waiting*>> all_ = std::make_shared<std::list<waiting*>>();
};

struct pull_parts
{
    pull_order order;
    std::weak_ptr<archive> store;  ///< weak: an archive that is closed is not kept open by a slow client
    /// store, where another bridge writes it: it is asked again and again, as nobody tells of news. Else
    /// null.
    std::shared_ptr<archive> reader = {};
    std::shared_ptr<const rules::policy> policy;  ///< null: everything. Its throttles do not count: they need
                                                  ///< what came before, and a pull may begin anywhere
    std::shared_ptr<const rules::inventory> devices;  ///< null: none
    format::master_info info;
};

/// Bounds of one request, beside its limit.
struct pull_bounds
{
    std::size_t span_breaches = 128, span_bytes = 64u << 10;  ///< of one read
    std::size_t piece = 48u << 10;                            ///< about, of the body
    std::chrono::steady_clock::duration look_again =
        std::chrono::seconds(1);  ///< for news of another bridge's
    std::chrono::steady_clock::duration search =
        std::chrono::seconds(10);  ///< for what a filter leaves; then more
};

/// Looks up the first breaches, waits for some where it was asked to, and answers what gives the rest. The
/// board must outlive the call, not the answer.
awaitable<outcome<std::shared_ptr<body_source>>> start_pull(pull_parts parts,
                                                            news_board& board,
                                                            pull_bounds bounds = {});

}  // namespace dtbridge::web
