#include "archive/open_files.hpp"

namespace dtbridge
{

void open_files::use(const std::shared_ptr<open_file>& file)
{
    while (auto idle = place_or_take_idle(file))
    {
        // Outside the lock: closing writes the log back, and only this file's users may have to wait for
        // that.
        idle->last_block.reset();
        idle->db.reset();
        idle->busy.unlock();
    }
}

std::shared_ptr<open_file> open_files::place_or_take_idle(const std::shared_ptr<open_file>& file)
{
    std::lock_guard lock(mutex_);
    if (file->listed_)
    {
        order_.splice(order_.begin(), order_, file->place_);
        return nullptr;
    }
    if (order_.size() >= limit_)
    {
        for (auto it = order_.rbegin(); it != order_.rend(); ++it)
        {
            auto idle = *it;
            if (!idle->busy.try_lock())
                continue;
            order_.erase(idle->place_);
            idle->listed_ = false;
            return idle;
        }
        // All in use, which takes more worker threads than the limit: one more then.
    }
    order_.push_front(file);
    file->place_ = order_.begin();
    file->listed_ = true;
    return nullptr;
}

void open_files::close(const std::shared_ptr<open_file>& file)
{
    file->last_block.reset();
    file->db.reset();
    std::lock_guard lock(mutex_);
    if (!file->listed_)
        return;
    order_.erase(file->place_);
    file->listed_ = false;
}

std::size_t open_files::size() const
{
    std::lock_guard lock(mutex_);
    return order_.size();
}

}  // namespace dtbridge
