// What to do when a goal of clue_ros/action/Ground did not give a target: a plan for every way it can end.
// Needs clue_ros's headers only; test/package/test_cpp_example.py compiles it and compares it with pick_pipeline.py.
#pragma once

#include <cstdint>

#include "clue_ros/action/ground.hpp"

namespace pick_pipeline
{

enum class Plan
{
  NONE,            // nothing: the arm was there
  RETRY,           // it may be over the next time
  REPHRASE,
  LOOK_ELSEWHERE,
  OPERATOR,
  STOP             // somebody wanted it so
};

inline const char * words_of(Plan plan)
{
  switch (plan) {
    case Plan::NONE: return "nothing to do";
    case Plan::RETRY: return "try again";
    case Plan::REPHRASE: return "ask the person to say it differently";
    case Plan::LOOK_ELSEWHERE: return "move the camera and look again";
    case Plan::STOP: return "stop";
    case Plan::OPERATOR: break;
  }
  return "call an operator";
}

/// The plan for an error_code of Ground's result.
inline Plan plan_of(std::uint16_t error_code)
{
  using Code = clue_ros::action::Ground::Result;
  switch (error_code) {
    case Code::NONE:
      return Plan::NONE;
    case Code::NO_IMAGE:
    case Code::TIMEOUT:
    case Code::NOT_ACTIVE:
      return Plan::RETRY;
    case Code::INVALID_EXPRESSION:
    case Code::UNKNOWN_WORDS:
    case Code::AMBIGUOUS:
      return Plan::REPHRASE;
    case Code::NOT_FOUND:
      return Plan::LOOK_ELSEWHERE;
    case Code::ANSWER_TIMEOUT:
    case Code::CANCELED:
    case Code::PREEMPTED:
    case Code::ABANDONED:
      return Plan::STOP;
    default:
      // UNKNOWN, INVALID_IMAGE, UNSUPPORTED_ENCODING, MODEL_ERROR, OUT_OF_MEMORY, UNKNOWN_CAMERA, and a code that this
      // program does not know yet: nobody should guess.
      return Plan::OPERATOR;
  }
}

}  // namespace pick_pipeline
