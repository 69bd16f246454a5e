// Builds a Ground goal, reads a Target and prints both: the headers, the constants and the type support link.
#include <iostream>

#include "clue_ros/action/ground.hpp"
#include "clue_ros/msg/target.hpp"
#include "clue_ros/srv/answer.hpp"
#include "rosidl_typesupport_cpp/action_type_support.hpp"

int main()
{
  using Ground = clue_ros::action::Ground;
  Ground::Goal goal;
  goal.expression = "the red mug";
  goal.ambiguity_policy = Ground::Goal::ASK;

  Ground::Result result;
  result.error_code = Ground::Result::NOT_FOUND;
  result.target.box.x1 = 12.5f;

  // Resolved from the shared libraries of the install space at run time.
  const auto * type_support = rosidl_typesupport_cpp::get_action_type_support_handle<Ground>();
  if (type_support == nullptr || type_support->goal_service_type_support == nullptr) {
    std::cerr << "no type support for clue_ros/action/Ground\n";
    return 1;
  }
  std::cout << goal.expression << "|" << result.error_code << "|" << result.target.box.x1 << "\n";
  return 0;
}
