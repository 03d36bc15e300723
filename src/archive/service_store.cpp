#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include <dtbridge/archive/archive.hpp>
#include <dtbridge/core/text.hpp>
#include <dtbridge/core/time.hpp>
#include <dtbridge/db/connection.hpp>

#include "archive/folder.hpp"
#include "archive/schema.hpp"

namespace dtbridge
{

namespace
{

/// flock, not fcntl: it belongs to the open file, so that no other close of the same file in this process
/// drops it.
class lock_file
{
public:
    explicit lock_file(const std::string& path)
        : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640))
    {
        if (fd_ < 0)
            raise_system(path);
        int done = -1;
        do
            done = ::flock(fd_, LOCK_EX | LOCK_NB);
        while (done != 0 && errno == EINTR);
        if (done == 0)
            return;
        bool taken = errno == EWOULDBLOCK;
        auto holder = taken ? read_holder() : std::string();
        int number = errno;
        ::close(fd_);
        errno = number;
        if (!taken)
            raise_system(path);
        throw db::error(fail(errc::locked,
                             path + ": another dtbridge writes here (" + holder +
                                 "); stop it, or give this one a state_dir of its own"));
    }
    ~lock_file() { ::close(fd_); }
    lock_file(const lock_file&) = delete;
    lock_file& operator=(const lock_file&) = delete;

    /// Who holds it, for the one that is refused.
    void sign(const std::string& path)
    {
        std::string text = "pid " + std::to_string(::getpid()) + ", started " + rfc3339_ms(now_ms()) + "\n";
        // A full disk must not keep the service from starting: the lock holds without the words.
        if (::ftruncate(fd_, 0) == 0 && ::pwrite(fd_, text.data(), text.size(), 0) < 0 && errno != ENOSPC &&
            errno != EDQUOT)
            raise_system(path);
    }

private:
    [[noreturn]] static void raise_system(const std::string& path)
    {
        error_code code(errno, boost::system::system_category());
        throw db::error(fail(code, path + ": the state folder cannot be locked: " + code.message()));
    }

    std::string read_holder() const
    {
        std::array<char, 128> text;
        auto n = ::pread(fd_, text.data(), text.size(), 0);
        auto said = text::trim_blank(std::string_view(text.data(), n > 0 ? static_cast<std::size_t>(n) : 0));
        return said.empty() ? "it has not said which process" : text::printable(said, text.size());
    }

    int fd_;
};

class locked_store : public service_store
{
public:
    explicit locked_store(const std::string& state_dir)
        : masters_(state_dir + "/masters"), lock_((make_folder(state_dir), state_dir + "/lock"))
    {
        lock_.sign(state_dir + "/lock");
        db::open_options options;
        options.create = true;
        db_ = std::make_unique<db::connection>(state_dir + "/service.db", options);
        db::migrate(*db_, service_application_id, service_schema(), "service file");
        sync_folder(state_dir);
    }

    outcome<std::int64_t> first_ran(const std::string& destination,
                                    const std::string& formerly,
                                    std::int64_t now) override;
    outcome<std::vector<std::string>> orphans(const std::vector<std::string>& masters,
                                              const std::vector<std::string>& destinations) override;
    outcome<bool> forget_destination(const std::string& destination) override;
    outcome<std::vector<policy_line_record>> policy_lines(const std::string& destination) override;
    outcome<bool> save_policy_lines(const std::string& destination,
                                    const std::vector<policy_line_record>& lines,
                                    bool all,
                                    std::int64_t oldest_hour) override;

private:
    void forget_lines(const std::string& destination);
    std::optional<std::int64_t> stored(const std::string& destination);

    std::string masters_;
    lock_file lock_;
    std::unique_ptr<db::connection> db_;
};

std::optional<std::int64_t> locked_store::stored(const std::string& destination)
{
    db::query q(db_->prepared("SELECT first_ran FROM destination WHERE name = ?"));
    q->bind(1, destination);
    if (!q->step())
        return std::nullopt;
    return q->integer(0);
}

outcome<std::int64_t> locked_store::first_ran(const std::string& destination,
                                              const std::string& formerly,
                                              std::int64_t now)
{
    try
    {
        if (auto known = stored(destination))
            return *known;
        auto before = formerly.empty() ? std::nullopt : stored(formerly);
        db_->set_durability(db::connection::durability::full);
        db::transaction commit(*db_);
        if (before)
        {
            db::query q(db_->prepared("UPDATE destination SET name = ? WHERE name = ?"));
            q->bind(1, destination).bind(2, formerly);
            q->run();
            db::query lines(
                db_->prepared("UPDATE OR IGNORE policy_line SET destination = ? WHERE destination = ?"));
            lines->bind(1, destination).bind(2, formerly);
            lines->run();
        }
        else
        {
            db::query q(db_->prepared("INSERT INTO destination(name, first_ran) VALUES(?, ?)"));
            q->bind(1, destination).bind(2, now);
            q->run();
        }
        commit.commit();
        return before.value_or(now);
    }
    catch (const db::error& e)
    {
        return e.reason();
    }
}

outcome<bool> locked_store::forget_destination(const std::string& destination)
{
    try
    {
        if (!stored(destination))
            return false;
        db_->set_durability(db::connection::durability::full);
        db::transaction commit(*db_);
        db::query q(db_->prepared("DELETE FROM destination WHERE name = ?"));
        q->bind(1, destination);
        q->run();
        forget_lines(destination);
        commit.commit();
        return true;
    }
    catch (const db::error& e)
    {
        return e.reason();
    }
}

void locked_store::forget_lines(const std::string& destination)
{
    for (const char* sql :
         {"DELETE FROM policy_hour WHERE line IN (SELECT id FROM policy_line WHERE destination = ?)",
          "DELETE FROM policy_line WHERE destination = ?"})
    {
        db::query q(db_->prepared(sql));
        q->bind(1, destination);
        q->run();
    }
}

outcome<std::vector<policy_line_record>> locked_store::policy_lines(const std::string& destination)
{
    try
    {
        std::vector<policy_line_record> out;
        db::query q(
            db_->prepared("SELECT l.line, l.since, l.last_spoke, h.hour, h.count FROM policy_line AS l "
                          "LEFT JOIN policy_hour AS h ON h.line = l.id WHERE l.destination = ? "
                          "ORDER BY l.id, h.hour"));
        q->bind(1, destination);
        while (q->step())
        {
            if (out.empty() || out.back().line != q->text(0))
            {
                policy_line_record r;
                r.line = q->text(0);
                r.since = q->integer(1);
                r.last_spoke = q->integer(2);
                out.push_back(std::move(r));
            }
            if (!q->is_null(3))
                out.back().hours.emplace_back(q->integer(3), q->integer(4));
        }
        return out;
    }
    catch (const db::error& e)
    {
        return e.reason();
    }
}

outcome<bool> locked_store::save_policy_lines(const std::string& destination,
                                              const std::vector<policy_line_record>& lines,
                                              bool all,
                                              std::int64_t oldest_hour)
{
    try
    {
        db_->set_durability(db::connection::durability::normal);
        db::transaction commit(*db_);
        if (all)
            forget_lines(destination);
        {
            db::query line(db_->prepared(
                "INSERT INTO policy_line(destination, line, since, last_spoke) VALUES(?, ?, ?, ?) "
                "ON CONFLICT(destination, line) DO UPDATE SET since = excluded.since, "
                "last_spoke = excluded.last_spoke RETURNING id"));
            db::query hour(
                db_->prepared("INSERT OR REPLACE INTO policy_hour(line, hour, count) VALUES(?, ?, ?)"));
            for (const auto& r : lines)
            {
                line->bind(1, destination).bind(2, r.line).bind(3, r.since).bind(4, r.last_spoke);
                const auto id = line->step() ? line->integer(0) : 0;
                line->run();
                for (const auto& [at, count] : r.hours)
                {
                    hour->bind(1, id).bind(2, at).bind(3, count);
                    hour->run();
                }
            }
            db::query old(db_->prepared("DELETE FROM policy_hour WHERE hour < ?"));
            old->bind(1, oldest_hour);
            old->run();
        }
        commit.commit();
        return true;
    }
    catch (const db::error& e)
    {
        return e.reason();
    }
}

outcome<std::vector<std::string>> locked_store::orphans(const std::vector<std::string>& masters,
                                                        const std::vector<std::string>& destinations)
{
    auto configured = [](const std::vector<std::string>& names, std::string_view name) {
        return std::find(names.begin(), names.end(), name) != names.end();
    };
    try
    {
        std::vector<std::string> out;
        std::error_code ec;
        std::filesystem::directory_iterator entry(masters_, ec);
        for (; !ec && entry != std::filesystem::directory_iterator(); entry.increment(ec))
        {
            auto name = entry->path().filename().string();
            if (folder_exists(entry->path().string()) && !configured(masters, name))
                out.push_back("master " + text::printable(name, 64));
        }
        std::sort(out.begin(), out.end());
        if (ec && ec != std::errc::no_such_file_or_directory)
            return fail(error_code(ec), masters_ + ": the folder cannot be read: " + ec.message());
        db::query q(db_->prepared("SELECT name FROM destination ORDER BY name"));
        while (q->step())
            if (!configured(destinations, q->text(0)))
                out.push_back("destination " + text::printable(q->text(0), 64));
        return out;
    }
    catch (const db::error& e)
    {
        return e.reason();
    }
}

}  // namespace

outcome<std::optional<std::int64_t>> service_store::look_up_first_ran(const std::string& state_dir,
                                                                      const std::string& destination)
{
    std::optional<std::int64_t> at;
    try
    {
        const auto path = state_dir + "/service.db";
        if (::access(path.c_str(), F_OK) != 0)
            return at;
        db::open_options options;
        options.writable = false;
        db::connection file(path, options);
        db::query q(file.prepared("SELECT first_ran FROM destination WHERE name = ?"));
        q->bind(1, destination);
        if (q->step())
            at = q->integer(0);
        return at;
    }
    catch (const db::error& e)
    {
        return e.reason();
    }
}

outcome<std::unique_ptr<service_store>> service_store::open(const std::string& state_dir)
{
    try
    {
        return std::unique_ptr<service_store>(std::make_unique<locked_store>(state_dir));
    }
    catch (const db::error& e)
    {
        return e.reason();
    }
}

outcome<std::shared_ptr<const void>> service_store::lock(const std::string& state_dir)
{
    try
    {
        auto held = std::make_shared<lock_file>(state_dir + "/lock");
        held->sign(state_dir + "/lock");
        return std::shared_ptr<const void>(std::move(held));
    }
    catch (const db::error& e)
    {
        return e.reason();
    }
}

}  // namespace dtbridge
