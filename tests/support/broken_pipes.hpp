#pragma once

#include <signal.h>

namespace dtbridge::test
{

/// For a thread that plays a peer by OpenSSL, which writes without MSG_NOSIGNAL. Of this thread (and those it
/// starts) alone, so that the code under test gets no cover.
inline void bear_broken_pipes()
{
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
}

}  // namespace dtbridge::test
