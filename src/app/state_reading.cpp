#include "app/state_reading.hpp"

namespace dtbridge::app
{

state_reader::state_reader(const config::configuration& c)
    : pool_(std::make_unique<archive_pool>(
          worker_.get_executor(), c.service.state_dir + "/masters", c.archive.database))
{}

state_reader::~state_reader()
{
    pool_.reset();
    worker_.join();
}

outcome<std::shared_ptr<archive>> state_reader::open(const std::string& master)
{
    return run(archive::open_to_read(*pool_, master));
}

}  // namespace dtbridge::app
