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

private:
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

}  // namespace dtbridge
