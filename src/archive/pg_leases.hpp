#pragma once

/// The lease of a master as far as archives look at it (cluster/lease_store.hpp has the rules). All for use
/// inside of a transaction, which they hold to what they found. The server ends that when its bridge says
/// nothing for half a lease: stopped or cut off, it would hold up who takes the master over.

#include <string>

#include <dtbridge/cluster/permit.hpp>

namespace dtbridge
{

namespace db
{
class postgres;
}

/// Nobody takes the master over before the transaction ends. False where the lease is not this one any more.
bool pg_hold_lease(db::postgres& on, const cluster::permit& lease);
/// For those who write without a lease: throws db::error (errc::locked, naming the bridge) while a session
/// other than but has one on master; else nobody takes one before the transaction ends.
void pg_refuse_owned(db::postgres& on, const std::string& master, const std::string& but = {});

}  // namespace dtbridge
