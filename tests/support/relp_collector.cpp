#include "support/relp_collector.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace dtbridge::test
{

std::optional<relp_request> relp_talk::next()
{
    const auto more = [this] {
        auto part = peer_.read_some();
        bytes_ += part;
        return !part.empty();
    };
    const auto word = [&]() -> std::optional<std::string> {
        for (;;)
        {
            if (const auto at = bytes_.find_first_of(" \n"); at != std::string::npos)
            {
                auto w = bytes_.substr(0, at);
                bytes_.erase(0, at);
                return w;
            }
            if (!more())
                return {};
        }
    };
    relp_request r;
    for (int part = 0; part < 3; ++part)
    {
        if (part > 0)
        {
            if (bytes_.empty() || bytes_.front() != ' ')
            {
                malformed_ = true;
                return {};
            }
            bytes_.erase(0, 1);
        }
        const auto w = word();
        if (!w)
        {
            malformed_ = part > 0 || !bytes_.empty();
            return {};
        }
        if (part == 1)
        {
            r.command = *w;
            continue;
        }
        if (w->empty() || w->size() > 9 || w->find_first_not_of("0123456789") != std::string::npos)
        {
            malformed_ = true;
            return {};
        }
        const auto number = std::strtoul(w->c_str(), nullptr, 10);
        if (part == 0)
        {
            r.number = number;
            continue;
        }
        const std::size_t header = number > 0 ? 1 : 0;  // the blank before the data
        while (bytes_.size() < header + number + 1)
            if (!more())
            {
                malformed_ = true;
                return {};
            }
        r.data = bytes_.substr(header, number);
        malformed_ = (header == 1 && bytes_.front() != ' ') || bytes_[header + number] != '\n';
        bytes_.erase(0, header + number + 1);
    }
    if (malformed_)
        return {};
    return r;
}

bool relp_talk::say(unsigned long number, const std::string& command, const std::string& data)
{
    auto text = std::to_string(number) + ' ' + command + ' ' + std::to_string(data.size());
    if (!data.empty())
        text += ' ' + data;
    return peer_.write(text + '\n');
}

bool relp_talk::answer(unsigned long number, const std::string& data)
{
    return say(number, "rsp", data);
}

bool relp_talk::open()
{
    const auto r = next();
    return r && r->command == "open" && r->data.find("commands=syslog") != std::string::npos &&
           answer(r->number,
                  "200 OK\nrelp_version=0\nrelp_software=librelp,1.11.0,http://librelp.adiscon.com\n"
                  "commands=syslog");
}

relp_collector::relp_collector(std::function<relp_habit(std::size_t)> habits, std::optional<peer_tls> tls)
    : habits_(std::move(habits))
{
    server_ = std::make_unique<peer_server>([this](peer_connection& c) { serve(c); }, std::move(tls));
}

void relp_collector::serve(peer_connection& c)
{
    std::size_t number = 0;
    {
        const std::lock_guard lock(mutex_);
        number = served_++;
    }
    const auto h = habits_ ? habits_(number) : relp_habit{};
    relp_talk talk(c);
    if (talk.open())
        run(talk, c, h);
    const std::lock_guard lock(mutex_);
    malformed_ += talk.malformed();
}

void relp_collector::run(relp_talk& talk, peer_connection& c, const relp_habit& h)
{
    std::size_t taken = 0, answered = 0;
    std::vector<relp_request> held;
    const auto give = [&](const relp_request& r) {
        talk.answer(r.number, h.with);
        const std::lock_guard lock(mutex_);
        answered_.push_back(r.data);
    };
    while (taken < h.take)
    {
        auto r = talk.next();
        if (!r)
            return;
        if (r->command == "close")
        {
            for (auto last = held.rbegin(); last != held.rend(); ++last)
                give(*last);
            talk.answer(r->number, "");
            talk.say(0, "serverclose", "");
            const std::lock_guard lock(mutex_);
            ++closes_;
            return;
        }
        ++taken;
        {
            const std::lock_guard lock(mutex_);
            messages_.push_back(r->data);
            most_waiting_ = std::max(most_waiting_, taken - answered);
        }
        if (answered >= h.answer)
            continue;
        ++answered;
        held.push_back(std::move(*r));
        if (h.last_first && held.size() < 3)
            continue;
        for (auto last = held.rbegin(); last != held.rend(); ++last)
            give(*last);
        held.clear();
    }
    switch (h.what)
    {
        case relp_habit::then::close:
            return;
        case relp_habit::then::reset:
            c.reset();
            return;
        case relp_habit::then::server_close:
            talk.say(0, "serverclose", "");
            return;
        case relp_habit::then::silent:
            while (talk.next())
                ;
            return;
    }
}

std::vector<std::string> relp_collector::messages() const
{
    const std::lock_guard lock(mutex_);
    return messages_;
}

std::vector<std::string> relp_collector::answered() const
{
    const std::lock_guard lock(mutex_);
    return answered_;
}

std::size_t relp_collector::count() const
{
    const std::lock_guard lock(mutex_);
    return messages_.size();
}

std::size_t relp_collector::closes() const
{
    const std::lock_guard lock(mutex_);
    return closes_;
}

std::size_t relp_collector::malformed() const
{
    const std::lock_guard lock(mutex_);
    return malformed_;
}

std::size_t relp_collector::most_waiting() const
{
    const std::lock_guard lock(mutex_);
    return most_waiting_;
}

}  // namespace dtbridge::test
