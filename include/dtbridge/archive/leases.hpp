#pragma once

#include <memory>

#include <dtbridge/archive/database_options.hpp>
#include <dtbridge/cluster/lease_store.hpp>
#include <dtbridge/cluster/options.hpp>

namespace dtbridge
{

/// What bridges know of each other, in the PostgreSQL of their archives. On a connection and a thread of its
/// own, so that no archive keeps it waiting. Every question is answered within two seconds, or with
/// errc::timed_out, and may have been done all the same. Connects, and makes the tables where they are
/// missing, with the first question; connects again with the next one after a failure. Ask from one thread;
/// it must go before the context that the questions are asked on. An url that cannot be read throws.
std::unique_ptr<cluster::lease_store> open_lease_store(const archive_database& database,
                                                       cluster::options timing = {});

}  // namespace dtbridge
