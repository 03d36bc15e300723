#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <dtbridge/net/stream.hpp>

namespace dtbridge::net
{

/// Blocking lookups on threads of its own (see resolve()). A class, so that a test can bring its own lookup.
class resolver
{
public:
    using addresses = std::vector<std::string>;
    struct answer
    {
        outcome<addresses> found = addresses{};
        bool temporary = false;  ///< no name server answered: the last good addresses may still be right
    };
    using lookup = std::function<answer(const std::string& host)>;

    /// patience: how long a lookup may take before the last good addresses are used.
    resolver(lookup how, std::size_t threads, duration patience);
    /// The threads end after what they are at; nobody waits for them.
    ~resolver();
    resolver(const resolver&) = delete;
    resolver& operator=(const resolver&) = delete;

    awaitable<outcome<addresses>> resolve(std::string host, duration limit);

    struct state;

private:
    std::shared_ptr<state> state_;
};

/// getaddrinfo.
resolver::answer system_lookup(const std::string& host);

}  // namespace dtbridge::net
