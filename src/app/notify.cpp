#include "app/notify.hpp"

#include <cstdint>
#include <ctime>

#include <systemd/sd-daemon.h>

namespace dtbridge::app
{

void notifier::ready(const std::string& status)
{
    sd_notify(0, ("READY=1\nSTATUS=" + status).c_str());
}

void notifier::status(const std::string& text)
{
    sd_notify(0, ("STATUS=" + text).c_str());
}

void notifier::reloading()
{
    // MONOTONIC_USEC is what Type=notify-reload needs (systemd 253); older ones ignore it.
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    const auto usec =
        static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1000;
    sd_notify(0, ("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(usec)).c_str());
}

void notifier::stopping()
{
    sd_notify(0, "STOPPING=1");
}

void notifier::alive()
{
    sd_notify(0, "WATCHDOG=1");
}

std::chrono::milliseconds notifier::watchdog_interval() const
{
    std::uint64_t usec = 0;
    if (sd_watchdog_enabled(0, &usec) <= 0)
        return std::chrono::milliseconds(0);
    return std::chrono::milliseconds(usec / 2000);
}

}  // namespace dtbridge::app
