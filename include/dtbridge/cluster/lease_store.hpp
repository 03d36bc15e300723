#pragma once

/// What bridges know of each other, in the database that they share. Two tables: `bridge`, a row for each
/// bridge (name, session, expires, state), and `lease`, a row for each master that was ever owned (master,
/// owner, session, number, expires). Times are milliseconds by the database's clock alone: no bridge's clock
/// is ever compared with it. Every operation is one statement and its own transaction; `now` below is the
/// time at which the database began the statement (statement_timestamp()), never earlier than when it was
/// sent. An operation that failed may have been done: everything may be repeated.
///
/// **Fencing.** A transaction that writes for a master (breaches, poll position, cursor, retention) first
/// does
///
///     SELECT 1 FROM lease WHERE master = $master AND session = $session AND number = $number FOR KEY SHARE
///
/// and is refused when there is no row. With UNIQUE (master, number), KEY SHARE makes whoever changes number
/// wait until the writer's transaction ends, and a renewal, which changes expires alone, waits for no writer.
/// Expiry is not looked at here: as long as nobody took the lease over, its owner's writes do no harm.
///
/// A bridge that is stopped or cut off in the middle of such a transaction would hold up who takes over: its
/// transactions begin with SET LOCAL idle_in_transaction_session_timeout, no longer than half a lease, and
/// try_acquire skips locked rows (FOR UPDATE SKIP LOCKED), so that one master's writer holds up no other
/// master; what was skipped is claimed again at the next look.
///
/// Whoever asks waits two seconds for an answer (keeper.hpp counts on less than options::settle), on a
/// connection that no archive work can keep busy.

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <dtbridge/core/failure.hpp>

namespace dtbridge
{
namespace asio = boost::asio;
}

namespace dtbridge::cluster
{

/// Who asks. A name is the configured one and what masters are spread by; a session is one run of a process,
/// random, and never used again: two processes of one name are two owners.
struct identity
{
    std::string name;
    std::string session;

    bool operator==(const identity&) const = default;
};

enum class bridge_state {
    joining,      ///< takes nothing yet; counts for who is to have what only while none is established
    serving,      ///< takes what it is to have
    established,  ///< has served for a while: there is no need to wait for those that join
    leaving,      ///< stops in good order: is to have nothing any more
};

/// As it is stored and shown.
std::string_view name_of(bridge_state s);
std::optional<bridge_state> bridge_state_of(std::string_view name);

struct member
{
    identity who = {};
    std::int64_t expires = 0;  ///< ms by the database's clock
    bridge_state state = bridge_state::serving;
};

struct lease_row
{
    std::string master;
    identity owner = {};  ///< empty name: nobody
    std::int64_t number = 0;
    std::int64_t expires = 0;  ///< ms by the database's clock
};

/// One lease as one owner had it.
struct lease_number
{
    std::string master;
    std::int64_t number = 0;

    bool operator==(const lease_number&) const = default;
};

struct renewal
{
    identity who = {};
    bool join = false;  ///< none of this session was answered yet: takes the name from an earlier session
    bridge_state state = bridge_state::serving;
    std::vector<lease_number> leases = {};
};
struct renewal_answer
{
    bool superseded = false;                 ///< a later session has the name; nothing was renewed
    std::vector<lease_number> renewed = {};  ///< in any order
};

struct snapshot
{
    std::int64_t now = 0;  ///< ms, the database's clock
    std::vector<member> members = {};
    std::vector<lease_row> leases = {};  ///< in any order; a master that was never owned has none
};

/// A lease to take: free, or its owner's expired. number is that of the row as it was read, 0 where there was
/// none.
struct claim
{
    std::string master;
    std::int64_t number = 0;
    std::string from = {};  ///< whose it was, where it expired
};

class lease_store
{
public:
    virtual ~lease_store() = default;

    /// Heartbeat and renewal of all leases of a bridge, in one statement. To join:
    ///
    ///     INSERT INTO bridge(name, session, expires, state) VALUES ($name, $session, now + lease,
    ///     $state) ON CONFLICT (name) DO UPDATE SET session = $session, expires = now + lease, state =
    ///     $state
    ///
    /// and later, so that a statement that was long on its way brings nobody back,
    ///
    ///     UPDATE bridge SET expires = now + lease, state = $state WHERE name = $name AND session =
    ///     $session
    ///
    /// No row: superseded, and no lease is touched. Otherwise
    ///
    ///     UPDATE lease SET expires = now + lease FROM unnest($masters, $numbers) AS n(master, number)
    ///         WHERE lease.master = n.master AND lease.number = n.number AND lease.session = $session
    ///         RETURNING lease.master, lease.number
    ///
    /// The two updates never move expires back by less than a lease's time: a renewal that the store did late
    /// takes nothing from a later one. Further ahead it is of before the store's clock was set back.
    ///
    /// A lease that expired and that nobody took is renewed, too. Who joins may delete rows of bridge that
    /// expired a day ago.
    virtual asio::awaitable<outcome<renewal_answer>> renew(renewal r) = 0;

    /// All rows of bridge, and of lease those of masters and those whose session is that of who; one snapshot
    /// (one statement), with now.
    virtual asio::awaitable<outcome<snapshot>> read(identity who, std::vector<std::string> masters) = 0;

    /// Every row of both tables, for status.
    virtual asio::awaitable<outcome<snapshot>> read_all() = 0;

    /// Of the claims those that were won, with their new numbers. For each:
    ///
    ///     UPDATE lease SET owner = $name, session = $session, number = number + 1, expires = now + lease
    ///         WHERE master = $master AND number = $number AND (owner IS NULL OR expires <= now)
    ///           AND EXISTS (SELECT FROM bridge WHERE name = $name AND session = $session AND state <>
    ///           leaving)
    ///         RETURNING master, number
    ///
    /// and for number 0 first INSERT INTO lease(master, number) VALUES ($master, 0) ON CONFLICT DO NOTHING.
    /// The conditions must hold for the row that is changed, not for an older version of it: READ COMMITTED
    /// looks at it again after waiting for its lock; a stricter isolation fails and is tried again. So of two
    /// claims on one number one wins. A row of lease is never deleted, not even with its master: a number is
    /// never used twice.
    virtual asio::awaitable<outcome<std::vector<lease_number>>> try_acquire(identity who,
                                                                            std::vector<claim> claims) = 0;

    /// Frees leases: UPDATE lease SET owner = NULL, session = NULL, expires = 0 WHERE master = .. AND number
    /// = .. AND session = $session. The number stays, and the next owner has the next one. Answers how many
    /// were freed.
    virtual asio::awaitable<outcome<std::int64_t>> release(identity who,
                                                           std::vector<lease_number> leases) = 0;

    /// The end of a session, in one statement: frees every lease with its session and deletes its row of
    /// bridge (by name and session). Answers how many leases were freed.
    virtual asio::awaitable<outcome<std::int64_t>> release_all(identity who) = 0;
};

}  // namespace dtbridge::cluster
