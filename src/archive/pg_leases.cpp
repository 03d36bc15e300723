#include "archive/pg_leases.hpp"

#include <dtbridge/cluster/options.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/db/postgres.hpp>

namespace dtbridge
{

namespace
{

/// SET LOCAL, as part of a SELECT: that saves a round trip of every transaction. Whoever is silent between
/// statements is cut off by the first; the server waits for the rest of one that it has a part of without a
/// limit, until TCP finds that nobody is there: after 9 s. Over a socket of this machine those say nothing.
std::string limit_idling()
{
    return "set_config('idle_in_transaction_session_timeout', '" +
           std::to_string(cluster::options().lease.count() / 2) +
           "', true), set_config('tcp_keepalives_idle', '5', true), set_config('tcp_keepalives_interval', "
           "'2', true), set_config('tcp_keepalives_count', '2', true)";
}

}  // namespace

bool pg_hold_lease(db::postgres& on, const cluster::permit& lease)
{
    static const auto sql = "SELECT " + limit_idling() +
                            " FROM dtbridge.lease WHERE master = $1 AND number = $2 AND session = $3 FOR "
                            "KEY SHARE";
    const auto row =
        on.run(sql, db::parameters().add(lease.master()).add(lease.number()).add(lease.session()));
    return !row.empty();
}

void pg_refuse_owned(db::postgres& on, const std::string& master, const std::string& but)
{
    static const auto sql =
        "SELECT owner IS NOT NULL AND session <> $2 AND expires > extract(epoch FROM "
        "statement_timestamp()) * 1000, owner, " +
        limit_idling() + " FROM dtbridge.lease WHERE master = $1 FOR KEY SHARE";
    const auto row = on.run(sql, db::parameters().add(master).add(but));
    if (row.empty() || !row.flag(0, 0))
        return;
    throw db::error(fail(errc::locked,
                         on.place() + ": bridge " + text::printable(row.bytes(0, 1), 63) + " has master " +
                             master + " now; stop that bridge first, or wait for 10 s where it was killed"));
}

}  // namespace dtbridge
