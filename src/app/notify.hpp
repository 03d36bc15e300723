#pragma once

#include <chrono>
#include <string>

namespace dtbridge::app
{

/// sd_notify(3): readiness, status line, reload, watchdog. Does nothing where no service manager listens.
class notifier
{
public:
    void ready(const std::string& status);
    void status(const std::string& text);
    void reloading();
    void stopping();
    /// Feeds the watchdog.
    void alive();
    /// Half of WatchdogSec, or zero where there is no watchdog.
    std::chrono::milliseconds watchdog_interval() const;
};

}  // namespace dtbridge::app
