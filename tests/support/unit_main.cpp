#define BOOST_TEST_MODULE dtbridge
#include <boost/test/unit_test.hpp>
